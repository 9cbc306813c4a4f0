/**
 * `npm run bench`: installs what is missing, builds the benches and runs them on the GPU that `graft` would take.
 * `npm run bench -- --help` says what can be asked.
 */
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { ensureModules, projectFolder } from '../../src/scripts/modules.mjs';

ensureModules();
ensureModules({ folder: join(projectFolder, 'test/bench') });
const { build } = await import('vite');
await build({
  root: projectFolder,
  configFile: join(projectFolder, 'vite.config.ts'),
  mode: 'bench',
  logLevel: 'warn',
});
await import(pathToFileURL(join(projectFolder, 'dist/bench/bench.js')).href);
