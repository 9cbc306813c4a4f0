/** `npm start`: installs what is missing, builds the page and the command line, serves the page on localhost. */
import { ensureModules, projectFolder } from './modules.mjs';

ensureModules();
process.chdir(projectFolder);

const { build, preview } = await import('vite');
await build({ logLevel: 'warn' });
await build({ mode: 'cli', logLevel: 'warn' });
const server = await preview();
console.log(`Graft is at ${server.resolvedUrls?.local[0]}  (Ctrl+C stops it)`);
