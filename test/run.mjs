/**
 * `npm test`: installs what is missing and runs every check, cheap ones first; stops at the first that fails.
 * `npm test -- lint unit` runs the named stages only. Two lines of stages begin side by side, as most of them take one core.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensureModules, projectFolder } from '../src/scripts/modules.mjs';
import { ensureChromium, ensureFirefox, ensureGpu } from './support/machine.mjs';

const results = join(projectFolder, 'test/results');
const total = { passed: 0, skipped: 0, failed: 0 };

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/**
 * Runs an npm package's program, and shows what it says: at once, or where `shown` is a list, into that.
 * @param {string} program @param {string[]} args
 * @param {{ setting?: NodeJS.ProcessEnv, shown?: string[] | undefined }} [options] `setting` is added to the environment
 * @returns {Promise<boolean>} whether it ended well
 */
function run(program, args, { setting = {}, shown } = {}) {
  const path = join(projectFolder, 'node_modules/.bin', program);
  const shell = process.platform === 'win32';
  const child = spawn(shell ? `"${path}"` : path, args, {
    cwd: projectFolder,
    stdio: shown ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    shell,
    env: { ...process.env, ...setting },
  });
  running.add(child);
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => shown?.push(String(text)));
  return new Promise((resolve) => {
    child.on('error', (error) => {
      shown?.push(error.message);
      resolve(false);
    });
    child.on('close', (code) => {
      running.delete(child);
      resolve(code === 0);
    });
  });
}

/**
 * @param {string} project a vitest project of vite.config.ts
 * @param {Record<string, string>} [setting] what its environment adds
 * @param {string[]} [files] the tests to run, where not all of the project are
 */
async function vitest(project, setting = {}, files = []) {
  const report = join(results, `${[project, ...Object.values(setting)].join('-')}.json`);
  rmSync(report, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const ok = await run('vitest', ['run', '--project', project, ...reporters, ...files], { setting });
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

/**
 * What another adapter can change: kernels, what is planned, trained and answered with them. Of the command line, which
 * starts a process a test, two files see that it keeps to the limits that it is given.
 */
const ON_OTHER_ADAPTERS = [
  ...['test/unit/engine', 'test/unit/support'],
  ...['test/unit/recipes/plan.gpu', 'test/unit/recipes/finetune.gpu', 'test/unit/recipes/generate.gpu'],
  ...['test/unit/cli/answers.gpu', 'test/unit/cli/export.gpu'],
];

/** @typedef {(shown?: string[]) => boolean | Promise<boolean>} Stage */

/** @type {Record<string, Stage>} */
const STAGES = {
  machine: () => {
    console.log(`browsers: ${ensureChromium()}, ${ensureFirefox()}`);
    const { name, software } = ensureGpu();
    console.log(`GPU: ${name}${software ? ' (software)' : ''}`);
    return true;
  },
  format: (shown) => run('prettier', ['--check', '.', '--log-level', 'warn'], { shown }),
  lint: (shown) => run('eslint', ['.'], { shown }),
  types: (shown) => run('tsc', [], { shown }),
  svelte: (shown) => run('svelte-check', ['--tsconfig', './tsconfig.json', '--fail-on-warnings'], { shown }),
  build: async (shown) =>
    (await run('vite', ['build'], { shown })) && (await run('vite', ['build', '--mode', 'cli'], { shown })),
  unit: () => vitest('unit'),
  gpu: () => vitest('gpu'),
  // The same on the least of adapters: every kernel has a plain variant within the default limits.
  'gpu-plain': () =>
    vitest('gpu', { GRAFT_LIMITS: 'default', GRAFT_WITHOUT: 'subgroups,shader-f16' }, ON_OTHER_ADAPTERS),
  e2e: () => vitest('e2e'),
};

/** What begins side by side, each line in its order: all but the last take one core each, and the last needs the build. */
const SIDE_BY_SIDE = [['lint'], ['format', 'types', 'svelte', 'build', 'unit']];
/** The stage that says what it does meanwhile, not at its end. */
const SPOKEN = 'unit';

/** Stages that run only where they are named: what the plain adapter lacks, one thing at a time, and what takes minutes. */
const BY_NAME = {
  'gpu-default-limits': () => vitest('gpu', { GRAFT_LIMITS: 'default' }, ON_OTHER_ADAPTERS),
  'gpu-without-subgroups': () => vitest('gpu', { GRAFT_WITHOUT: 'subgroups' }, ON_OTHER_ADAPTERS),
  'gpu-without-f16': () => vitest('gpu', { GRAFT_WITHOUT: 'shader-f16' }, ON_OTHER_ADAPTERS),
  // A run that is killed twenty times, on the command line and on the page.
  kills: async () =>
    (await vitest('gpu', { GRAFT_KILLS: '20' }, ['test/unit/cli/train.gpu.test.ts'])) &&
    (await vitest('e2e', { GRAFT_KILLS: '20' }, ['test/e2e/runs.test.ts'])),
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
// Without its builds for graphics cards, which are optional, and elsewhere than on Linux without a program.
const isLinux = process.platform === 'linux' && process.arch === 'x64';
const llamaFlags = ['--omit=optional', '--ignore-scripts', ...(isLinux ? [] : ['--force'])];
ensureModules({ folder: join(projectFolder, 'test/llama'), flags: llamaFlags });
mkdirSync(results, { recursive: true });

/** Runs a stage, says how it went, and ends the whole where it failed. @param {string} name @param {string[]} [shown] */
async function runStage(name, shown) {
  if (!shown) console.log(`\n── ${name}`);
  const start = performance.now();
  let ok = false;
  try {
    ok = (await /** @type {Record<string, Stage>} */ (stages)[name]?.(shown)) ?? false;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  if (shown) console.log([`\n── ${name}`, ...shown.map((text) => text.trimEnd())].join('\n'));
  console.log(`── ${name}: ${ok ? 'ok' : 'FAILED'}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  if (ok) return;
  for (const child of running) child.kill();
  console.log(`\n${total.passed} passed, ${Math.max(1, total.failed)} failed`);
  process.exit(1);
}

const wanted = chosen.length > 0 ? Object.keys(stages).filter((name) => chosen.includes(name)) : Object.keys(STAGES);
if (wanted.includes('machine')) await runStage('machine');
await Promise.all(
  SIDE_BY_SIDE.map(async (line) => {
    for (const name of line) if (wanted.includes(name)) await runStage(name, name === SPOKEN ? undefined : []);
  }),
);
for (const name of wanted) {
  if (name !== 'machine' && !SIDE_BY_SIDE.flat().includes(name)) await runStage(name);
}
if (total.skipped > 0) console.log(`\n${total.skipped} skipped`);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
