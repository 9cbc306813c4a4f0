/**
 * `npm test`: installs what is missing and runs every check, cheap ones first; stops at the first that fails.
 * `npm test -- lint unit` runs the named stages only.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensureModules, projectFolder } from '../src/scripts/modules.mjs';
import { ensureChromium, ensureGpu } from './support/machine.mjs';

const results = join(projectFolder, 'test/results');
const total = { passed: 0, skipped: 0, failed: 0 };

/** Runs an npm package's program. @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} [setting] */
function run(program, args, setting = {}) {
  const path = join(projectFolder, 'node_modules/.bin', program);
  const shell = process.platform === 'win32';
  const env = { ...process.env, ...setting };
  return spawnSync(shell ? `"${path}"` : path, args, { cwd: projectFolder, stdio: 'inherit', shell, env }).status === 0;
}

/**
 * @param {string} project a vitest project of vite.config.ts
 * @param {Record<string, string>} [setting] what its environment adds
 * @param {string[]} [files] the tests to run, where not all of the project are
 */
function vitest(project, setting = {}, files = []) {
  const report = join(results, `${[project, ...Object.values(setting)].join('-')}.json`);
  rmSync(report, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const ok = run('vitest', ['run', '--project', project, ...reporters, ...files], setting);
  try {
    const { numPassedTests, numPendingTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'));
    total.passed += numPassedTests;
    total.skipped += numPendingTests;
    total.failed += numFailedTests;
  } catch {
    return false; // vitest ended before it could write its report
  }
  return ok;
}

/** @type {Record<string, () => boolean>} */
const STAGES = {
  machine: () => {
    console.log(`browser: ${ensureChromium()}`);
    const { name, software } = ensureGpu();
    console.log(`GPU: ${name}${software ? ' (software)' : ''}`);
    return true;
  },
  format: () => run('prettier', ['--check', '.', '--log-level', 'warn']),
  lint: () => run('eslint', ['.']),
  types: () => run('tsc', []),
  svelte: () => run('svelte-check', ['--tsconfig', './tsconfig.json', '--fail-on-warnings']),
  build: () => run('vite', ['build']) && run('vite', ['build', '--mode', 'cli']),
  unit: () => vitest('unit'),
  gpu: () => vitest('gpu'),
  // The same on the least of adapters: every kernel has a plain variant within the default limits.
  'gpu-plain': () => vitest('gpu', { GRAFT_LIMITS: 'default', GRAFT_WITHOUT: 'subgroups,shader-f16' }),
  e2e: () => vitest('e2e'),
};

/** Stages that run only where they are named: what the plain adapter lacks, one thing at a time, and what takes minutes. */
const BY_NAME = {
  'gpu-default-limits': () => vitest('gpu', { GRAFT_LIMITS: 'default' }),
  'gpu-without-subgroups': () => vitest('gpu', { GRAFT_WITHOUT: 'subgroups' }),
  'gpu-without-f16': () => vitest('gpu', { GRAFT_WITHOUT: 'shader-f16' }),
  'fuzz-rows': () => vitest('unit', { GRAFT_FUZZ_ROWS: '10000' }, ['test/unit/data/fuzz.test.ts']),
  fuzz: () => vitest('unit', { GRAFT_FUZZ_INPUTS: process.env.GRAFT_FUZZ_INPUTS ?? '10000' }, ['test/fuzz/']),
};

const chosen = process.argv.slice(2);
const stages = { ...STAGES, ...BY_NAME };
const unknown = chosen.filter((name) => !(name in stages));
if (unknown.length > 0) {
  console.error(`There is no stage ${unknown.join(', ')}; the stages are ${Object.keys(stages).join(', ')}.`);
  process.exit(1);
}

ensureModules();
ensureModules({ folder: join(projectFolder, 'test/bench') }); // its types are checked, too
mkdirSync(results, { recursive: true });
for (const [name, stage] of Object.entries(chosen.length > 0 ? stages : STAGES)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  console.log(`\n── ${name}`);
  const start = performance.now();
  let ok = false;
  try {
    ok = stage();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  console.log(`── ${name}: ${ok ? 'ok' : 'FAILED'}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  if (!ok) {
    console.log(`\n${total.passed} passed, ${Math.max(1, total.failed)} failed`);
    process.exit(1);
  }
}
if (total.skipped > 0) console.log(`\n${total.skipped} skipped`);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
