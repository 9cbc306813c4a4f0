/** What goes wrong is said in one clear message, where it went wrong, and nothing that was there is lost. */
import { mkdtemp, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { describe, expect } from 'vitest';
import { test } from '../support/browser';
import { findChromium } from '../support/drivers.mjs';
import { axeViolations, GraftPage, layoutShift } from '../support/page';
import { tinyRows, writeTinyModel } from '../support/tiny-model';

describe('data', () => {
  const CASES: [string, string, RegExp][] = [
    [
      'a row that is not JSON',
      '{"question": "a", "answer": "b"}\n{"question": "a", answer}\n',
      /bad\.jsonl: .* line 2/,
    ],
    [
      'a row without an answer',
      '{"question": "a", "answer": "b"}\n{"question": "a", "answer": ""}\n',
      /row 2 has an empty answer/,
    ],
    ['nothing to train on', '{"input_ids": [1, 2, 3], "labels": [-100, -100, -100]}\n', /train/],
    ['an empty file', '\n', /no rows/],
  ];

  for (const [what, text, message] of CASES) {
    test(`${what}: says so, and takes the next file`, async ({ page, site }) => {
      const graft = await GraftPage.open(page, site);
      await graft.useData('bad.jsonl', text);
      await graft.at('data-error').waitFor();
      expect(await graft.at('data-error').innerText()).toMatch(message);
      expect(await graft.at('data-error').getAttribute('data-code')).toBe('bad-data');
      await graft.useData('good.jsonl', '{"question": "a", "answer": "b"}');
      await graft.at('data-error').waitFor({ state: 'detached' });
      await graft.at('tokens').waitFor();
    });
  }
});

describe('a model folder', () => {
  const open = async (graft: GraftPage, change: (folder: string) => Promise<void>) => {
    const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'broken');
    await writeTinyModel(folder);
    await change(folder);
    await graft.useFolder(folder);
    await graft.at('model-error').waitFor();
    return graft.at('model-error').innerText();
  };

  test('with truncated weights is refused, and the starter stays open', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    const message = await open(graft, (folder) => truncate(join(folder, 'model.safetensors'), 2000));
    expect(message).toContain('model.safetensors');
    expect(await graft.at('model-name').innerText()).toContain('starter');
  });

  test('of an unknown architecture is named', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    const message = await open(graft, async (folder) => {
      const file = join(folder, 'config.json');
      const config = await readFile(file, 'utf8');
      await writeFile(file, config.replace('"llama"', '"mamba"').replace('LlamaForCausalLM', 'MambaForCausalLM'));
    });
    expect(message).toMatch(/mamba/i);
    expect(await graft.at('model-error').getAttribute('data-code')).toBe('unsupported');
  });
});

test('a model folder whose hints for answering are wrong opens, and its facts say so', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'hints');
  await writeTinyModel(folder);
  await writeFile(join(folder, 'generation_config.json'), '{"temperature": "warm", "eos_token_id": 999999}');
  await graft.useFolder(folder);
  await graft.at('model-name').getByText('hints', { exact: true }).waitFor();
  const notices = await graft.at('model-notices').innerText();
  expect(notices).toMatch(/generation_config\.json.*temperature/);
  expect(notices).toContain('eos_token_id');
  expect(await axeViolations(page)).toEqual([]);
});

describe('a run file', () => {
  test('with a misspelt key names the nearest one and changes nothing', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    const before = await page.locator('#setting-lora_r').inputValue();
    await graft.useRunFile('lora_rr: 3\n');
    expect(await graft.at('run-file-error').innerText()).toMatch(/lora_rr.*lora_r/);
    expect(await page.locator('#setting-lora_r').inputValue()).toBe(before);
  });

  test('a setting out of its range is refused in its place', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    const field = page.locator('#setting-lora_r');
    await field.fill('0');
    await field.press('Tab');
    expect(await graft.at('setting-error-lora_r').innerText()).toContain('lora_r must be');
    await field.fill('8');
    await field.press('Tab');
    await graft.at('setting-error-lora_r').waitFor({ state: 'detached' });
  });

  test('with a learning rate that makes the loss infinite stops the run with a sentence', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.useTinyModel();
    await graft.useRunFile(
      'learning_rate: 1.0e+30\nmax_steps: 20\nmax_length: 32\nwarmup_ratio: 0\nmax_grad_norm: 0\n',
    );
    await graft.start();
    await graft.state('failed');
    expect(await graft.at('train-error').getAttribute('data-code')).toBe('diverged');
    expect(await graft.at('train-error').innerText()).toContain('learning_rate');
    await graft.openPart('Files');
    expect(await graft.at('nothing-yet').innerText()).toContain('It ended before its first checkpoint');
    await graft.openRuns();
    expect(await graft.at('library-row').getAttribute('data-state')).toBe('failed');
  });
});

test('without WebGPU the page says what to do, and still shows model and data', async ({ site }) => {
  const browser = await chromium.launch({
    executablePath: findChromium()!,
    args: ['--no-sandbox', '--disable-gpu', '--disable-software-rasterizer', '--disable-features=Vulkan,WebGPUService'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(site.url);
    const note = page.getByTestId('no-webgpu');
    await note.waitFor();
    expect(await note.getAttribute('data-code')).toBe('no-webgpu');
    await page.getByTestId('tokens').waitFor();
    expect(await page.getByTestId('quick-start').isDisabled()).toBe(true);
    expect(await page.getByTestId('start').isDisabled()).toBe(true);
    expect(await page.getByTestId('start-obstacle').innerText()).toContain("can't train yet");
    await page.getByTestId('plan-total').filter({ hasText: 'MiB' }).waitFor();
    expect(await page.getByTestId('start-cost').innerText()).toMatch(/ steps$/); // and no time that it would take
    // It comes late, and moves nothing: it lies over the page until it was read, and has a place from then on.
    await page.setViewportSize({ width: 360, height: 800 });
    for (const place of ['#/models', '#/settings', '#/']) {
      await page.goto(`${site.url}${place}`);
      await page.reload();
      await note.waitFor();
      await page.waitForTimeout(700); // what comes by and by
      expect(await page.evaluate(layoutShift), place).toBeLessThan(0.02);
    }
    await page.getByTestId('device-error-read').click();
    expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Look again');
    expect(await page.evaluate(layoutShift)).toBeLessThan(0.02); // what was pressed for may move
    await page.reload();
    await page.getByTestId('quick-start').waitFor();
    expect(await note.isVisible()).toBe(true);
    await page.getByTestId('plan-total').waitFor({ state: 'attached' });
    await page.waitForTimeout(1500);
    expect(await page.evaluate(layoutShift)).toBeLessThan(0.02);
    expect(await page.getByTestId('device-error-read').count()).toBe(0);
    expect(await axeViolations(page)).toEqual([]);
  } finally {
    await browser.close();
  }
});

test('from an insecure address the page says so in one sentence', async ({ site }) => {
  // An address that is no localhost to the browser, and leads there.
  const browser = await chromium.launch({
    executablePath: findChromium()!,
    args: ['--no-sandbox', '--host-resolver-rules=MAP 192.0.2.1 localhost'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(site.url.replace('localhost', '192.0.2.1'));
    const note = page.getByTestId('no-webgpu');
    await note.getByText('this one came from an http address').waitFor();
    expect(await note.innerText()).not.toContain('Graphics acceleration');
    await page.getByTestId('model-error').getByText('The top of the page says why.').waitFor();
    expect(await page.locator('body').innerText()).not.toContain('undefined');
    expect(await page.getByText('this one came from').count()).toBe(1);
    expect(await page.getByTestId('start').isDisabled()).toBe(true);
    expect(await axeViolations(page)).toEqual([]);
  } finally {
    await browser.close();
  }
});

test('a full disk stops the run with a sentence; after room is made it goes on', async ({ page, site }) => {
  const session = await page.context().newCDPSession(page);
  const { origin } = new URL(site.url);
  // Before the first write: the browser remembers for half a minute how much room it found. A run may begin, and has no room
  // for its checkpoints.
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 200_000 });
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel();
  await graft.useData('rows.jsonl', tinyRows(8));
  await graft.useRunFile('max_steps: 40\nmax_length: 32\nsave_steps: 5\nlora_r: 4\n');
  await graft.start();
  await graft.at('train-error').waitFor();
  expect(await graft.at('train-error').getAttribute('data-code')).toBe('storage');
  expect(await graft.at('train-error').innerText()).toContain('no room');
  await session.send('Storage.overrideQuotaForOrigin', { origin });
  await graft.at('resume').click();
  await graft.state('finished');
});
