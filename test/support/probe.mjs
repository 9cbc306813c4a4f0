/** Prints, as JSON, the GPU that tests run on here. A process of its own: a broken driver may take it down. */
import { openAdapter } from './adapter.mjs';

const found = await openAdapter();
console.log(JSON.stringify(found ? { name: found.name, software: found.software } : null));
