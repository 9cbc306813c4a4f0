/**
 * `npm run demo`: the real page in headless Chromium trains the starter on policy pairs, compares base and tuned, and
 * downloads the adapter. `-- --full` trains on all 111 pairs, `-- --pairs N` on the first N.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureModules, projectFolder } from '../src/scripts/modules.mjs';
import { ensureChromium } from './support/machine.mjs';

const ALL_PAIRS = 111;
const SHOWN = 5;
const MINUTE = 60_000;

const { values } = parseArgs({
  options: { full: { type: 'boolean', default: false }, pairs: { type: 'string', default: '24' } },
});
const pairs = values.full ? ALL_PAIRS : Number(values.pairs);
if (!(Number.isInteger(pairs) && pairs >= 1 && pairs <= ALL_PAIRS)) {
  console.error(`--pairs takes a whole number from 1 to ${ALL_PAIRS}.`);
  process.exit(1);
}

const began = performance.now();
const elapsed = () => {
  const seconds = Math.round((performance.now() - began) / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
};
/** @param {string} line */
const say = (line) => console.log(`${elapsed()}  ${line}`);

ensureModules();
ensureChromium();
const built = spawnSync(join(projectFolder, 'node_modules/.bin/vite'), ['build', '--logLevel', 'warn'], {
  cwd: projectFolder,
  stdio: ['ignore', 'ignore', 'inherit'],
});
if (built.status !== 0) process.exit(1);

// Only now are the packages that these need sure to be there.
const { launchBrowser, serveSite, watchForProblems } = await import('./support/site.mjs');
const site = await serveSite();
const browser = await launchBrowser();
const page = await browser.newPage({ acceptDownloads: true, viewport: { width: 1280, height: 860 } });
const problems = watchForProblems(page);
/** @param {string} id */
const at = (id) => page.getByTestId(id);

await page.goto(site.url);
await at('first-rows').fill(String(pairs));
await at('first-rows').press('Tab');
await at('quick-start').click();
say(`training the starter on ${pairs} policy pairs; ${await at('device').innerText()}`);
await followTraining();
await openPart('Evaluate');
await compare();
await openPart('Files');
await download();
await openPart('Overview');

const screenshots = join(projectFolder, 'test/results');
mkdirSync(screenshots, { recursive: true });
await page.screenshot({ path: join(screenshots, 'demo.png'), fullPage: true });
await page.screenshot({ path: join(screenshots, 'demo-train.png') });
await browser.close();
await site.close();
if (problems.length > 0) {
  console.error(`The page complained:\n${problems.join('\n')}`);
  process.exit(1);
}
say('done');
process.exit(0);

/** Opens a part of the run's page. @param {string} name */
function openPart(name) {
  return page.getByRole('navigation', { name: 'Parts of the run' }).getByRole('link', { name }).click();
}

/** Prints step and loss as the page shows them, until it says that the run ended. */
async function followTraining() {
  let last = '';
  for (;;) {
    const status = await at('status').innerText();
    const line = `step ${(await at('step').innerText()).replaceAll('\n', ' ')}  loss ${(await at('loss').innerText()).replaceAll('\n', ' ')}`;
    if (line !== last) say(line);
    last = line;
    if (await at('train-error').isVisible()) throw new Error(await at('train-error').innerText());
    if (/finished|done/i.test(status)) return;
    await page.waitForTimeout(2000);
  }
}

/** Greedy answers of both models to the questions trained on. */
async function compare() {
  await at('compare-limit').fill(String(pairs));
  await at('compare-start').click();
  await page.locator('[data-testid="compare-summary"][data-complete="true"]').waitFor({ timeout: 60 * MINUTE });
  for (const voice of ['base', 'tuned']) {
    say(
      `${voice.padEnd(5)}  exact match ${await at(`taught-${voice}`).innerText()}  token F1 ${await at(`taught-${voice}-f1`).innerText()}`,
    );
  }
  const rows = await at('compare-row').all();
  for (const row of rows.slice(0, SHOWN)) {
    console.log(`\n  question  ${await row.getByTestId('compare-question').innerText()}`);
    console.log(`  expected  ${await row.getByTestId('compare-expected').innerText()}`);
    console.log(`  base      ${await row.getByTestId('compare-base').innerText()}`);
    console.log(`  tuned     ${await row.getByTestId('compare-tuned').innerText()}`);
  }
  console.log('');
}

/** The adapter as a user gets it: one archive. */
async function download() {
  const waiting = page.waitForEvent('download');
  await at('download-adapter').click();
  const archive = await waiting;
  say(`downloaded ${archive.suggestedFilename()}:`);
  for (const file of await at('export-file').all()) {
    const [name] = (await file.innerText()).split('\n');
    console.log(`         ${name}`);
  }
  const failure = await archive.failure();
  if (failure) throw new Error(`The download failed: ${failure}`);
}
