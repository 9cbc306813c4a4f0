/** `npm start`: installs what is missing of the page and the command line, builds both, serves the page on localhost. */
import { ensureModules, projectFolder } from './modules.mjs';

/** @param {string} sentence @returns {never} */
function giveUp(sentence) {
  console.error(sentence);
  process.exit(1);
}

const { PORT: port = '' } = process.env;
if (port !== '' && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535)) {
  giveUp(`PORT is ${JSON.stringify(port)}: set it to a number from 1 to 65535, or not at all.`);
}

ensureModules({ dev: false });
process.chdir(projectFolder);

const { build, preview } = await import('vite');
try {
  await build({ logLevel: 'warn' });
  await build({ mode: 'cli', logLevel: 'warn' });
} catch (error) {
  giveUp(`Graft can't be built: ${/** @type {Error} */ (error).message}`);
}
const server = await preview().catch((error) => {
  const why = error.code === 'EACCES' ? 'you may not listen there; take a port above 1023' : error.message;
  return giveUp(`Graft can't be served${port === '' ? '' : ` at port ${port}`}: ${why}.`);
});
console.log(`Graft is at ${server.resolvedUrls?.local[0]}  (Ctrl+C stops it)`);
