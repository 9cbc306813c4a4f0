/**
 * `npm run bench`: installs what is missing, builds the benches and runs them on the GPU that `graft` would take.
 * `npm run bench -- --help` says what can be asked.
 */
import { mkdirSync } from 'node:fs';
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
// Mesa's cache of compiled kernels doesn't tell vector widths apart: one that another program filled for narrower vectors
// makes these kernels, and not those of the peers, twice as slow.
const shaders = join(projectFolder, 'test/results', `bench-${process.env['LP_NATIVE_VECTOR_WIDTH'] ?? 'widest'}`);
mkdirSync(shaders, { recursive: true });
process.env['MESA_SHADER_CACHE_DIR'] ??= shaders;
await import(pathToFileURL(join(projectFolder, 'dist/bench/bench.js')).href);
