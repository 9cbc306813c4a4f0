/** `npm start`: installs what is missing of the page and the command line, builds both, serves the page on localhost. */
import { ensureModules, projectFolder } from './modules.mjs';

ensureModules({ dev: false });
process.chdir(projectFolder);

const { build, preview } = await import('vite');
await build({ logLevel: 'warn' });
await build({ mode: 'cli', logLevel: 'warn' });
const server = await preview();
console.log(`Graft is at ${server.resolvedUrls?.local[0]}  (Ctrl+C stops it)`);
