/** Runs in the browser: they survive reloads and crashes, and end in the same bytes. */
import type { BrowserContext } from 'playwright-core';
import { describe, expect } from 'vitest';
import { Random } from '../../src/core/rng';
import { test } from '../support/browser';
import { axeViolations, crash, GraftPage, type Site } from '../support/page';

const ADAPTER = 'adapter_model.safetensors';
const RUN = `learning_rate: 1.0e-2
per_device_train_batch_size: 4
gradient_accumulation_steps: 1
lora_r: 4
lora_dropout: 0.1
max_length: 32
save_steps: 5
seed: 3
`;

function tiny(graft: GraftPage, run: string): Promise<void> {
  return graft.useTinyModel().then(() => graft.useRunFile(RUN + run));
}

test('the keyboard alone leads from the first visit to the adapter, by at most 20 presses of Tab', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  // Shorter than the run of a first visit, which is the same to the keyboard.
  await graft.useRunFile(
    'max_steps: 2\nmax_train_samples: 4\nlora_target_modules: [down_proj]\nlayers_to_transform: [1]\n',
  );
  await page.reload();
  await page.locator('[data-testid=quick-start]:enabled').waitFor();
  let presses = 0;
  const focused = () => page.evaluate(() => document.activeElement!.tagName);
  /** Goes to a control by Tab alone, and presses it. */
  const press = async (testid: string) => {
    const isThere = () =>
      page.evaluate((id) => (document.activeElement as HTMLElement).dataset['testid'] === id, testid);
    while (!(await isThere())) {
      expect(++presses, `presses of Tab on the way to ${testid}`).toBeLessThanOrEqual(20);
      await page.keyboard.press('Tab');
      expect(await focused()).not.toBe('BODY');
    }
    await page.keyboard.press('Enter');
  };
  await press('quick-start');
  await graft.state('finished');
  await graft.at('dock-status').waitFor({ state: 'detached' });
  expect(await focused()).toBe('H1'); // of the run
  const [download] = await Promise.all([page.waitForEvent('download'), press('download-now')]);
  expect(download.suggestedFilename()).toMatch(/^starter-on-title-fees.*\.zip$/);
  expect(await focused()).not.toBe('BODY');
});

describe('a run', () => {
  test('is in the library after a reload, with its curve and its files, and one that was cancelled ends in its bytes', async ({
    page,
    site,
  }) => {
    const graft = await GraftPage.open(page, site);
    await tiny(graft, 'max_steps: 60\nval_set_size: 2\neval_steps: 20\n');
    await graft.start();
    await graft.state('finished');
    const loss = await graft.at('loss').innerText();
    const bytes = await graft.download(ADAPTER);

    await page.reload();
    await graft.state('finished');
    await graft.openPart('Overview');
    expect(await graft.at('loss').innerText()).toBe(loss);
    expect(await graft.at('loss-summary').innerText()).toContain('step 60');
    expect((await graft.download(ADAPTER)).equals(bytes)).toBe(true);
    const files = await graft.at('export-file').locator('code').allInnerTexts();
    expect(files.sort()).toEqual(
      ['README.md', 'adapter_config.json', ADAPTER, 'graft.json', 'run.yaml', 'trainer_state.json'].sort(),
    );
    await graft.openWorkbench();
    expect(await graft.at('model-name').innerText()).toBe('tiny');
    expect(await graft.at('dataset-name').innerText()).toBe('rows.jsonl');

    await graft.start();
    await graft.firstStep();
    await graft.at('cancel').click();
    await graft.state('cancelled');
    expect(Number(await graft.at('step').innerText())).toBeLessThan(60);
    await graft.at('resume').click();
    await graft.state('finished');
    expect((await graft.download(ADAPTER)).equals(bytes)).toBe(true);

    await graft.openRuns();
    for (const left of [1, 0]) {
      await page
        .getByRole('button', { name: /^Delete tiny on/ })
        .first()
        .click();
      await graft.at('confirm').click();
      await expect.poll(() => graft.at('library-row').count()).toBe(left);
    }
    await page.getByText('Your first run will be here').waitFor();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Runs');
  });

  test('of one click on a fresh visit trains the starter, and shows where the time of a step goes, on a narrow screen', async ({
    page,
    site,
  }) => {
    await page.setViewportSize({ width: 360, height: 800 });
    await page.goto(site.url);
    const graft = new GraftPage(page);
    await graft.at('quick-start').click();
    await graft.firstStep();
    expect(await page.getByRole('heading', { name: 'starter on title-fees' }).count()).toBe(1);
    expect(Number(await graft.at('loss').innerText())).toBeGreaterThan(0);
    await graft.at('dock-status').getByText('left').waitFor();
    expect(await graft.at('dock-status').evaluate((line) => line.scrollWidth <= line.clientWidth)).toBe(true);
    await graft.openRuns();
    expect(await graft.at('library-row').innerText()).toMatch(/[1-9]\d* of \d+ steps/);
    await graft.openRun();
    await page.getByText('Where the time goes').click();
    await graft.at('measure-step').click();
    const rows = graft.at('step-time').locator('tbody tr');
    await rows.first().waitFor();
    await graft.at('cancel').click();
    await graft.state('cancelled');
    expect(await graft.at('dispatches').innerText()).toMatch(
      /^Dispatches: train [\d,]+ a micro-batch, update [\d,]+, evaluate [\d,]+ a batch/,
    );
    const names = await rows.locator('code').allInnerTexts();
    expect(names).toEqual(expect.arrayContaining(['pointwise/rope', 'glu/forward']));
    const percents = (await rows.locator('td:last-child').allInnerTexts()).map(parseFloat);
    expect(percents).toEqual(percents.toSorted((a, b) => b - a));
    expect(Math.abs(percents.reduce((sum, share) => sum + share, 0) - 100)).toBeLessThan(1);
    expect(await axeViolations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});

describe('a killed tab', () => {
  /** Twenty in the stage `kills`. */
  const KILLS = Number(process.env['GRAFT_KILLS'] ?? 2);
  /** So many that the last kill finds it running. */
  const STEPS = KILLS > 2 ? 250 : 120;

  test(`${KILLS} kills at random moments end in the bytes of the run that was left alone`, async ({
    browser,
    site,
  }) => {
    const context = await browser.newContext();
    const { graft, whole } = await wholeRun(context, site, STEPS);
    const random = new Random(Number(process.env['GRAFT_SEED'] ?? 20));
    let { page } = graft;
    await graft.start();
    for (let kill = 0; kill < KILLS; kill++) {
      const now = new GraftPage(page);
      await now.firstStep();
      await page.waitForTimeout(random.uint32() % 600);
      await crash(page);
      page = await context.newPage();
      const again = await GraftPage.open(page, site);
      await again.openRuns();
      const row = again.at('library-row').first();
      await row.waitFor();
      if ((await row.getAttribute('data-state')) === 'finished') {
        expect((await again.download(ADAPTER)).equals(whole), `kill ${kill}`).toBe(true);
        await again.start();
      } else {
        await again.openRun();
        await again.state('interrupted');
        await again.at('resume').click();
        await again.state('running');
      }
    }
    const last = new GraftPage(page);
    await last.state('finished');
    expect((await last.download(ADAPTER)).equals(whole)).toBe(true);
    await context.close();
  });
});

async function wholeRun(
  context: BrowserContext,
  site: Site,
  steps: number,
): Promise<{ graft: GraftPage; whole: Buffer }> {
  const graft = await GraftPage.open(await context.newPage(), site);
  await tiny(graft, `max_steps: ${steps}\n`);
  await graft.start();
  await graft.state('finished');
  return { graft, whole: await graft.download(ADAPTER) };
}
