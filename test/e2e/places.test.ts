/** The places of the page: each has an address, a title and a heading; a draft is edited at one, and runs are looked at. */
import { gzipSync } from 'node:zlib';
import { describe, expect } from 'vitest';
import type { TrainerState } from '../../src/core/events';
import { test } from '../support/browser';
import { axeViolations, GraftPage, layoutShift } from '../support/page';

const RUN =
  'max_steps: 8\nmax_length: 32\nlora_r: 4\nlora_target_modules: [down_proj]\nlayers_to_transform: [0]\nlogging_steps: 1\nsave_steps: 2\n';

test('a first visit takes at most 130 KB of script before it is drawn, compressed, and shows what to press', async ({
  page,
  site,
}) => {
  const scripts: Promise<Buffer>[] = [];
  page.on('response', (response) => {
    const isWorker = /worker/.test(response.url()) || response.url().startsWith('blob:');
    if (response.url().endsWith('.js') && !isWorker) scripts.push(response.body());
  });
  await page.goto(site.url);
  await page.getByTestId('quick-start').waitFor();
  const bytes = (await Promise.all(scripts)).reduce((sum, body) => sum + gzipSync(body).byteLength, 0);
  // In a short window the bar with Start leaves the first button free.
  await page.setViewportSize({ width: 800, height: 600 });
  const isFree = () =>
    page.getByTestId('quick-start').evaluate((button) => {
      const { top, bottom, left, right } = button.getBoundingClientRect();
      return bottom < innerHeight && document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === button;
    });
  await expect.poll(isFree, { timeout: 10_000 }).toBe(true);
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(130_000);
});

describe('a place', () => {
  test('has a title and a heading that takes the focus, is free of violations, and comes back as it was left', async ({
    page,
    site,
  }) => {
    const graft = await GraftPage.open(page, site);
    const focused = () => page.evaluate(() => document.activeElement?.textContent);
    await graft.openModels();
    expect(await page.title()).toBe('Models · Graft');
    expect(await focused()).toBe('Models');
    await graft.openRuns();
    await page.getByText('Your first run will be here').waitFor();
    expect(await focused()).toBe('Runs');
    await graft.openSettings();
    expect(await focused()).toBe('Settings');
    await page.goBack();
    await expect.poll(focused).toBe('Runs');
    await page.goForward();
    await expect.poll(focused).toBe('Settings');
    await page.reload();
    await graft.at('hub-access').waitFor();
    expect(new URL(page.url()).hash).toBe('#/settings');

    for (const place of [
      '#/',
      '#/models',
      '#/models/chat',
      '#/runs',
      '#/runs/compare',
      '#/settings',
      '#/nothing',
      '#/runs/none',
    ]) {
      await page.setViewportSize({ width: 360, height: 800 });
      await page.goto(`${site.url}${place}`);
      await page.reload();
      await page.locator('main h1').waitFor();
      await graft.at('place-runs').waitFor();
      await page.waitForTimeout(1000); // what comes by and by
      if (place === '#/settings') await graft.at('browser-gaps').waitFor();
      expect(await page.evaluate(layoutShift), place).toBeLessThan(0.02);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), place).toBeLessThanOrEqual(360);
      expect(await axeViolations(page), place).toEqual([]);
      if (place === '#/runs/compare') {
        expect(await graft.at('compare-empty').innerText()).toMatch(/^Two runs are needed.*train one, then another/);
        expect(await graft.at('way-see').getAttribute('href')).toBe('#/');
        await graft.at('way-own').click();
        await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('data');
        expect(await graft.at('dataset-name').isVisible()).toBe(true); // unfolded
        await page.goBack();
        await graft.at('compare-empty').waitFor();
      }
      await page.setViewportSize({ width: 1280, height: 800 });
      expect(await axeViolations(page), place).toEqual([]);
    }
  });

  test('is scrolled to where it was, by going back and by a reload, and nothing moves', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.at('plan-total').getByText('MiB').waitFor();
    await graft.at('plan').scrollIntoViewIfNeeded();
    await page.waitForTimeout(300); // the history is told when the scrolling is over
    /** Where the plan stands in the window: what comes late above it may change how far down that is. */
    const stands = () => page.evaluate(() => document.getElementById('memory')?.getBoundingClientRect().top ?? NaN);
    const before = await stands();
    const isBack = async () => Math.abs((await stands()) - before) < 40;
    expect(await page.evaluate(() => scrollY)).toBeGreaterThan(500);
    await graft.at('place-runs').click();
    await page.getByText('Your first run will be here').waitFor();
    expect(await page.evaluate(() => scrollY)).toBe(0);
    await page.goBack();
    await expect.poll(isBack).toBe(true);
    await page.reload();
    await expect.poll(isBack, { timeout: 10_000 }).toBe(true);
    await graft.at('plan-total').getByText('MiB').waitFor();
    expect(await page.evaluate(layoutShift)).toBeLessThan(0.02);
  });
});

test('a draft and its runs are two things: what is edited is trained, and a run keeps what it was trained with', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  const epochs = page.locator('#setting-num_train_epochs');
  await page.getByRole('radio', { name: 'Quick' }).check();
  expect(await epochs.inputValue()).toBe('4');
  await graft.setting('num_train_epochs', '5');
  expect(await graft.at('preset-state').innerText()).toContain('Custom: Quick, but Epochs 5 instead of 4.');
  await page.getByRole('radio', { name: 'Balanced' }).check();
  expect(await epochs.inputValue()).toBe('5'); // what was set by hand stays
  await page.reload();
  await graft.at('preset-state').getByText('Epochs 5 instead of 12').waitFor();
  await graft.at('preset-alone').click();
  expect(await epochs.inputValue()).toBe('12');
  expect(await page.evaluate(() => (document.activeElement as HTMLInputElement).value)).toBe('balanced');

  await graft.useTinyModel();
  await graft.openModels();
  await graft.at('kept-models').getByText('tiny').waitFor(); // its copy is here, without a reload
  await graft.useRunFile(RUN);
  expect(await graft.at('preset-state').innerText()).toContain('Custom: Balanced, but');
  await graft.setting('val_set_size', '25%');
  expect(await page.locator('#setting-val_set_size').inputValue()).toBe('0.25');
  await graft.setting('eval_steps', '25');
  expect(await graft.at('setting-warning-eval_steps').innerText()).toContain('evaluated once, at its end');
  await graft.setting('eval_steps', '');
  await graft.setting('learning_rate', '0.01');
  await graft.at('start').press('Enter');
  await graft.at('status').waitFor();
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('H1'); // of the run
  await graft.state('finished');
  expect((await graft.download('run.yaml')).toString()).toContain('learning_rate: 0.01\n');
  const { log_history } = JSON.parse((await graft.download('trainer_state.json')).toString()) as TrainerState;
  expect(log_history.filter((row) => row.eval_loss !== undefined)).toHaveLength(8); // five at least
  expect(await graft.at('verdict').count()).toBe(1);
  await graft.openPart('Overview');
  await page.getByRole('figure', { name: /from .* at step 1 to / }).waitFor(); // named by what it shows
  expect(await page.getByText('adapter to go on from').count()).toBe(0); // there is none

  await graft.openWorkbench();
  expect(await page.locator('#setting-learning_rate').inputValue()).toBe('0.01'); // and is still what it was
  await graft.at('last-run').getByText('finished').waitFor();
  await graft.setting('learning_rate', '1');
  expect(await graft.at('setting-warning-learning_rate').innerText()).toContain('the loss will most likely rise');
  await graft.at('start-warnings').getByRole('button', { name: 'Learning rate' }).click();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-learning_rate');
  await graft.start();
  await graft.state('finished');
  expect(await graft.at('verdict').getAttribute('data-kind')).not.toBe('learned');
  expect(await graft.at('loss-summary').innerText()).toMatch(/on the rows held out|learning rate/);
  await graft.openPart('Settings');
  await graft.at('settings-diff').waitFor();
  expect(await graft.at('settings-diff').locator('tbody tr').allInnerTexts()).toEqual([
    expect.stringMatching(/learning_rate\s+0\.01\s+1/),
  ]);
  await graft.at('compare-with-before').click();
  await graft.at('compare-facts').waitFor();
  expect(await graft.at('compare-facts').locator('thead a').count()).toBe(2);
  expect(await graft.at('settings-diff').locator('tbody tr').count()).toBe(1);
  await page.setViewportSize({ width: 360, height: 800 });
  expect(await axeViolations(page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  await page.setViewportSize({ width: 1280, height: 800 });

  await graft.openRuns();
  expect(await graft.at('run-differs').first().innerText()).toBe('learning_rate 1 (was 0.01)');
  await page
    .getByRole('button', { name: /^Rename/ })
    .first()
    .click();
  await page.keyboard.type('too fast');
  await page.keyboard.press('Enter');
  await graft.at('run-link').getByText('too fast').waitFor();
  expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Rename');

  await graft.openRunAt(1);
  await graft.openPart('Settings');
  await graft.at('use-settings').click();
  await graft.at('start').waitFor();
  expect(await page.locator('#setting-learning_rate').inputValue()).toBe('0.01');

  // What is asked for while a run trains waits in the dock, by its name, and is cancelled there.
  await graft.useRunFile(RUN.replace('max_steps: 8', 'max_steps: 50000'));
  await graft.start();
  await graft.firstStep();
  await graft.openRunAt(1);
  await graft.openPart('Evaluate');
  await graft.at('compare-start').click();
  await graft.openPart('Files');
  await graft.at('download-merged').click();
  const waiting = graft.at('queue').locator('li .title');
  await expect.poll(() => waiting.allInnerTexts()).toEqual(['Evaluation of too fast', 'Merged model of too fast']);
  await page.setViewportSize({ width: 360, height: 800 });
  expect(await axeViolations(page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  await page.getByRole('button', { name: 'Cancel: Evaluation of too fast' }).press('Enter');
  await expect.poll(() => waiting.allInnerTexts()).toEqual(['Merged model of too fast']);
  await expect.poll(() => page.evaluate(() => document.activeElement?.tagName)).not.toBe('BODY');
  const merged = page.waitForEvent('download');
  await graft.at('cancel').click();
  expect((await merged).suggestedFilename()).toBe('too-fast-merged.zip');
  await graft.at('queue').waitFor({ state: 'detached' });
});

test('a run that trains is seen everywhere, is not left by accident, and answers when it was stopped', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useRunFile('max_steps: 500\nmax_train_samples: 8\nper_device_train_batch_size: 2\nsave_steps: 2\n');
  await graft.start();
  await graft.firstStep();
  await page.context().grantPermissions(['notifications']);
  await graft.at('notify').click();
  await page.getByRole('button', { name: 'You will be notified when it ends', pressed: true }).waitFor();
  await expect.poll(() => page.title()).toMatch(/^\d+\/500 · starter on /);
  await graft.openWorkbench();
  expect(await graft.at('start').isDisabled()).toBe(true);
  const asked: string[] = [];
  page.on('dialog', (dialog) => {
    asked.push(dialog.type());
    void dialog.dismiss();
  });
  await page.evaluate(() => void setTimeout(() => location.reload()));
  await expect.poll(() => asked).toEqual(['beforeunload']);
  await graft
    .at('dock-status')
    .getByText(/^Step ([3-9]|\d\d)/)
    .waitFor({ timeout: 120_000 });
  await graft.at('dock-run').click();
  await graft.at('cancel').click();
  await graft.state('cancelled');
  expect(await graft.at('status').innerText()).toMatch(/is saved$/);
  expect(await page.title()).not.toContain('/500');

  await graft.openPart('Chat');
  await graft.at('speaks-from').waitFor();
  await page.getByText('How it answers').click();
  await graft.at('max-new-tokens').fill('4');
  await graft.at('chat-input').fill('What is a title fee?');
  await graft.openPart('Files');
  await graft.at('download-checkpoint').waitFor();
  await graft.openPart('Chat');
  expect(await graft.at('chat-input').inputValue()).toBe('What is a title fee?'); // typed, and not sent yet
  await graft.at('send').click();
  await page.locator('[data-testid=tuned-answer][data-state=done]').waitFor({ timeout: 60_000 });
  await graft.openPart('Overview');
  const download = page.waitForEvent('download');
  await graft.at('download-now').click();
  expect((await download).suggestedFilename()).toMatch(/-step-\d+\.zip$/);
});

test('a file that is dropped beside the places for it is taken as data', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.openSettings();
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['{"question": "a", "answer": "b"}\n'], 'dropped.jsonl'));
    document
      .querySelector('main')!
      .dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  });
  await graft.at('dataset-name').getByText('dropped.jsonl', { exact: true }).waitFor();
});

describe('on a narrow screen', () => {
  test.override({ contextOptions: { viewport: { width: 360, height: 740 } } });

  test('the steps are rows that say what is in them, open from the keyboard, and leave Start in reach', async ({
    page,
    site,
  }) => {
    await page.goto(site.url);
    const graft = new GraftPage(page);
    await graft.at('step-data').getByText('title-fees, 111 rows').waitFor();
    await graft.at('start-cost').getByText('336 steps').waitFor();
    expect(await graft.at('step-model').innerText()).toMatch(/^starter, .*M parameters$/);
    expect(await graft.at('step-check').innerText()).toBe('Optional: hold out 12 of 111 rows?');
    expect(await graft.at('step-settings').innerText()).toBe(
      'Balanced: 12 epochs, learning rate 5e-3, rank 32, 4 rows a step',
    );
    const isInView = () =>
      graft.at('start').evaluate((button) => {
        const { top, bottom, left, right } = button.getBoundingClientRect();
        return document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === button;
      });
    expect(await isInView()).toBe(true);
    expect(await page.evaluate(layoutShift)).toBeLessThan(0.02);

    const row = page.getByRole('button', { name: 'Settings', exact: true });
    await row.focus();
    await page.keyboard.press('Enter');
    expect(await row.getAttribute('aria-expanded')).toBe('true');
    await graft.setting('learning_rate', '1');
    expect(await isInView()).toBe(true);
    await row.press('Enter');
    expect(await graft.at('step-settings').innerText()).toBe('Custom: Learning rate 1');
    await graft.at('start-warnings').getByRole('button').click(); // leads into what is folded
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-learning_rate');
    await page.reload();
    await page.locator('#setting-learning_rate').waitFor(); // it is as it was left
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});
