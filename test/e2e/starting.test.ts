/** When the page starts a run, and what it does where a run can't begin. */
import { describe, expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations, GraftPage } from '../support/page';

const RUN = 'max_steps: 3\nmax_length: 32\nlora_r: 4\n';

describe('a setting that was refused', () => {
  test('keeps a run from being started until it is put right, quoted as it was typed', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.useTinyModel();
    await graft.useRunFile(RUN);
    await graft.setting('learning_rate', '0,005');
    expect(await graft.at('setting-error-learning_rate').innerText()).toBe(
      'learning_rate must be a number above 0, but is "0,005": write it with a point, 0.005.',
    );
    expect(await graft.at('start').isDisabled()).toBe(true);
    expect(await graft.at('start-obstacle').innerText()).toContain('“Learning rate” holds “0,005”');
    expect(await page.locator('#setting-learning_rate').inputValue()).toBe('0,005');
    expect(await axeViolations(page)).toEqual([]);

    await page.evaluate(() => scrollTo(0, 0));
    await graft.at('next-action').click();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-learning_rate');
    await graft.setting('learning_rate', '0.005');
    expect(await graft.at('start-obstacle').count()).toBe(0);
    await graft.start();
    await graft.state('finished');
    expect((await graft.download('run.yaml')).toString()).toContain('learning_rate: 0.005\n');
  });

  test('is led to where it lies, folded away too, and by the one-click run', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await page.getByText('More settings').click();
    await graft.setting('seed', 'abc');
    await page.getByText('More settings').click();
    await graft.at('quick-start').click();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-seed');
    expect(await page.locator('#setting-seed').isVisible()).toBe(true);
    expect(await graft.at('status').count()).toBe(0);
  });

  test('and a run file that was changed and not taken does so as well', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.useTinyModel();
    await graft.useRunFile('lora_rr: 3\n');
    expect(await graft.at('start').isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    expect(await graft.at('run-file-error').count()).toBe(0);
    expect(await graft.at('start').isEnabled()).toBe(true);
  });

  test('says nothing of what a run would take meanwhile; before anything has run it is guessed how long', async ({
    page,
    site,
  }) => {
    const graft = await GraftPage.open(page, site);
    await graft
      .at('start-cost')
      .getByText(/MiB · \d+ steps · roughly \d+ (s|min)/)
      .waitFor();
    const cost = await graft.at('start-cost').innerText();
    await graft.at('start-preset').selectOption('quick');
    await expect.poll(() => graft.at('start-cost').innerText()).not.toBe(cost);
    expect(await page.getByRole('radio', { name: 'Quick' }).isChecked()).toBe(true);
    // Hours are said in words, with what to do about them.
    await graft.setting('num_train_epochs', '9000');
    const long = graft
      .at('start-long')
      .filter({ hasText: /train for \d+ (min|h).* take fewer epochs\sor use fewer rows\.\s*$/s });
    await long.waitFor();
    await long.getByRole('button', { name: 'use fewer rows' }).click();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-max_train_samples');
    // No preset changes what was set by hand, nor do fewer rows change a number of steps.
    await graft.at('start-preset').selectOption('balanced');
    await long.getByRole('button', { name: 'take fewer epochs' }).click();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-num_train_epochs');
    await page.locator('details', { has: page.locator('#setting-max_steps') }).evaluate((details) => {
      (details as HTMLDetailsElement).open = true;
    });
    await graft.setting('max_steps', '900000');
    await graft
      .at('start-long')
      .filter({ hasText: /stay open: take fewer steps\.\s*$/ })
      .waitFor();
    await graft.at('start-preset').selectOption('quick');
    await graft.at('start-preset-alone').click();
    await graft.at('start-long').waitFor({ state: 'detached' });
    await graft.setting('lora_r', '0');
    expect(await graft.at('start-cost').innerText()).toBe('');
    await graft.setting('lora_r', '4');
    await graft.at('start-cost').getByText('roughly').waitFor();
    expect(await graft.at('start-preset').innerText()).toContain('Quick, changed');
    // What was changed stays with another preset, which is said where it is chosen, with the way back.
    await graft.at('start-preset').selectOption('thorough');
    expect(await page.locator('#setting-lora_r').inputValue()).toBe('4');
    expect(await graft.at('start-preset-alone').innerText()).toBe('Undo 1 change');
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      expect(await axeViolations(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      // The longest of what can be chosen is shown whole: a list is as wide as that, where nothing holds it in.
      const room = graft.at('start-preset').evaluate((list: HTMLSelectElement) => {
        const { width } = list.getBoundingClientRect();
        list.style.width = 'max-content';
        const whole = list.getBoundingClientRect().width;
        list.style.width = '';
        return width - whole;
      });
      expect(await room).toBeGreaterThanOrEqual(0);
    }
    await graft.at('start-preset-alone').click();
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset['testid'])).toBe('start-preset');
    expect(await graft.at('start-preset').innerText()).not.toContain('changed');
    expect(await page.locator('#setting-lora_r').inputValue()).toBe('64');
  });

  test('includes the number of examples', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.at('first-rows').fill('2.7');
    await graft.at('first-rows').press('Tab');
    expect(await graft.at('setting-error-max_train_samples').innerText()).toContain('but is 2.7');
    expect(await graft.at('start').isDisabled()).toBe(true);
  });
});

describe('data that can not be used', () => {
  for (const [name, text] of [
    ['table.csv', 'Frage,Antwort\na,b\n'],
    ['bad.jsonl', '{"question": "a", "answer": "b"}\n{"question": '],
  ] as const) {
    test(`${name}: no run is started, and it says why`, async ({ page, site }) => {
      const graft = await GraftPage.open(page, site);
      await graft.useData(name, text);
      await graft.at('data-error').waitFor();
      await graft.at('start-obstacle').getByText(`${name} can't be used yet`).waitFor();
      expect(await graft.at('start').isDisabled()).toBe(true);
      expect(await graft.at('next-action').innerText()).toBe('Go to the data');
    });
  }
});

test('a finished run stays as it is beside one that never begins, one that holds rows out, and data that break', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel();
  await graft.useRunFile(RUN);
  await graft.start();
  await graft.state('finished');
  expect(await page.getByText('Held-out loss').count()).toBe(0);
  await graft.openWorkbench();
  expect(await graft.at('start-warnings').innerText()).toContain('Maximum steps');
  // No model has linears of that name, which is found out when the run is planned.
  await graft.useRunFile(`${RUN}lora_target_modules: [nothing_like_it]\n`);
  await graft.start();
  const error = graft.at('start-error');
  await error.waitFor();
  expect(await error.innerText()).toContain('nothing_like_it');
  expect(await graft.at('start').isEnabled()).toBe(true); // the workbench is shown, where it can be put right
  await graft.openRuns();
  expect(await graft.at('library-row').count()).toBe(1);
  await page.reload();
  await graft.openRun();
  await graft.state('finished');
  await page.goBack();
  await graft.at('library-row').waitFor();
  expect(await graft.at('library-row').count()).toBe(1);

  await graft.useRunFile(`${RUN}val_set_size: 2\n`);
  await graft.start();
  await graft.state('finished');
  expect(await page.getByText('Held-out loss').count()).toBe(2);
  await graft.openWorkbench();
  await graft.useData('bad.jsonl', '{"question": ');
  await graft.at('data-error').waitFor();
  expect(await graft.at('start').isDisabled()).toBe(true);
  await graft.openRun();
  await graft.state('finished');
});

test('a model without a tokenizer is said so when it opens', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel();
  expect(await graft.at('model-notices').innerText()).toContain('The model has no tokenizer.json');
});

test('data that can not be used are named once', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.useData('bad.jsonl', '{"question": "a", "answer": "b"}\n{"question": ');
  const error = await graft.at('data-error').innerText();
  expect(error).toMatch(/^The data can't be used yet\. bad\.jsonl: /);
  expect(error.match(/bad\.jsonl/g)).toHaveLength(1);
});
