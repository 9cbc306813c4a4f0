/** A GPU that goes away, that has too little memory, that hangs, or that can do little: the page copes, and says so. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { describe, expect } from 'vitest';
import { test } from '../support/browser';
import { GraftPage, type Site } from '../support/page';
import { launchProfile } from '../support/site.mjs';
import {
  crowdDevices,
  hangOnMessage,
  hookWorker,
  loseDevices,
  plainDevices,
  unhookWorker,
} from '../support/worker-hook';

const ADAPTER = 'adapter_model.safetensors';
const RUN = `learning_rate: 1.0e-2
per_device_train_batch_size: 4
gradient_accumulation_steps: 1
lora_r: 4
lora_target_modules: [down_proj]
layers_to_transform: [1]
lora_dropout: 0.1
max_length: 32
save_steps: 5
save_seconds: 0
seed: 3
`;

async function openTiny(page: Page, site: Site, run: string): Promise<GraftPage> {
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel();
  await graft.useRunFile(RUN + run);
  return graft;
}

async function trained(graft: GraftPage): Promise<Buffer> {
  await graft.start();
  await graft.state('finished');
  return graft.download(ADAPTER);
}

/** Waits until a step after this one is done. */
async function pastStep(graft: GraftPage, step: number): Promise<void> {
  await expect.poll(async () => Number(await graft.at('step').innerText()), { timeout: 60_000 }).toBeGreaterThan(step);
}

const notice = (graft: GraftPage, text: RegExp) => graft.at('train-notice').filter({ hasText: text });

describe('a device that is lost', () => {
  test('in the middle of a step is opened again, to the same bytes', async ({ page, site }) => {
    await hookWorker(page, loseDevices, { at: 50, losses: 1 });
    const graft = await openTiny(page, site, 'max_steps: 30\n');
    const disturbed = await trained(graft);
    await graft.openPart('Overview');
    expect(await notice(graft, /device was lost .*last checkpoint/).count()).toBe(1);
    expect(await graft.at('loss-summary').innerText()).toContain('step 30');
    const whole = await trained(graft); // the hook loses one device only
    await graft.openPart('Overview');
    expect(await notice(graft, /device was lost/).count()).toBe(0);
    expect(disturbed.equals(whole)).toBe(true);
  });

  test('before the first checkpoint starts from the first step', async ({ page, site }) => {
    await hookWorker(page, loseDevices, { at: 8, losses: 1 });
    const graft = await openTiny(page, site, 'max_steps: 12\n');
    const disturbed = await trained(graft);
    await graft.openPart('Overview');
    expect(await notice(graft, /no checkpoint yet: starting from the first step/).count()).toBe(1);
    expect((await trained(graft)).equals(disturbed)).toBe(true);
  });
});

/** Crashes the browser's GPU process, and every device with it. */
async function crashGpu(context: BrowserContext): Promise<void> {
  const session = await context.newCDPSession(context.pages()[0]!);
  session.send('Browser.crashGpuProcess').catch(() => undefined); // it may not answer
}

test('a crashed GPU process: training resumes by itself; after a second crash the checkpoint is there', async ({
  site,
}) => {
  const profile = await mkdtemp(join(tmpdir(), 'graft-profile-'));
  let context = await launchProfile(profile);
  try {
    let graft = await openTiny(await context.newPage(), site, 'max_steps: 300\n');
    const whole = await trained(graft);

    await graft.start();
    await pastStep(graft, 5);
    await crashGpu(context);
    await notice(graft, /device was lost .*last checkpoint/).waitFor();
    await graft.state('running');
    await graft
      .at('status')
      .filter({ hasText: /^Training 300 steps$/ })
      .waitFor();
    await crashGpu(context);
    await graft.state('interrupted');
    expect(await graft.at('train-error').getAttribute('data-code')).toBe('device-lost');
    // That the checkpoint is kept is said by the button, whether training had begun again by then or not.
    expect(await graft.at('train-error').innerText()).toContain('second loss');
    const [download] = await Promise.all([
      graft.page.waitForEvent('download'),
      graft.openRuns().then(() =>
        graft.page
          .getByRole('button', { name: /^Download step \d+ of/ })
          .first()
          .click(),
      ),
    ]);
    expect(download.suggestedFilename()).toMatch(/-step-\d+\.zip$/);

    // Chromium gives no WebGPU after a second crash, until it is started again.
    await context.close();
    context = await launchProfile(profile);
    graft = await GraftPage.open(await context.newPage(), site);
    await graft.openRun();
    await graft.state('interrupted');
    await graft.at('resume').click();
    await graft.state('finished');
    expect((await graft.download(ADAPTER)).equals(whole)).toBe(true);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
});

describe('a device with too little memory', () => {
  test('gets smaller micro-batches at the same effective batch', async ({ page, site }) => {
    const graft = await openTiny(page, site, 'max_steps: 6\n');
    await hookWorker(page, crowdDevices, { room: ROOM_FOR_TWO_ROWS });
    await page.reload();
    await graft.start();
    await graft.state('finished');
    expect(await notice(graft, /^Micro-batches of 4 rows do not fit/).innerText()).toContain(
      'per_device_train_batch_size: 2 with gradient_accumulation_steps: 2',
    );
    const runFile = (await graft.download('run.yaml')).toString();
    expect(runFile).toMatch(/per_device_train_batch_size: 2\ngradient_accumulation_steps: 2\n/);
  });

  test('for one row is refused with a sentence, and the page goes on', async ({ page, site }) => {
    await hookWorker(page, crowdDevices, { room: 64 });
    const graft = await openTiny(page, site, 'max_steps: 6\n');
    await graft.start();
    await graft.state('failed');
    expect(await graft.at('train-error').getAttribute('data-code')).toBe('out-of-memory');
    expect(await graft.at('train-error').innerText()).toMatch(/Even one row at a time does not fit/);
    await unhookWorker(page);
    await page.reload();
    await graft.start();
    await graft.state('finished');
  });
});

/** Bytes of the largest activation of the tiny model's runs at two rows: its logits, 2 rows of 16 tokens. */
const ROOM_FOR_TWO_ROWS = 2 * 16 * 48 * 4;

test('a GPU that hangs: the run can be stopped at once, and gone on with', async ({ page, site }) => {
  await hookWorker(page, hangOnMessage, { channel: 'hang' });
  const graft = await openTiny(page, site, 'max_steps: 100\n');
  await graft.start();
  await pastStep(graft, 5);
  await page.evaluate(() => new BroadcastChannel('hang').postMessage('now'));
  await page.waitForTimeout(1000);
  await graft.at('cancel').click();
  await graft.at('force-stop').click({ timeout: 60_000 });
  await graft.state('interrupted');
  expect(await graft.at('train-error').innerText()).toContain('Resume goes on from the last checkpoint');
  await unhookWorker(page);
  await graft.at('resume').click();
  await graft.state('finished');
  const resumed = await graft.download(ADAPTER);
  expect((await trained(graft)).equals(resumed)).toBe(true);
});

test('an adapter with the default limits and no optional feature trains', async ({ page, site }) => {
  await hookWorker(page, plainDevices, undefined);
  const graft = await openTiny(page, site, 'max_steps: 6\nval_set_size: 2\neval_steps: 3\n');
  const adapter = await trained(graft);
  expect(adapter.byteLength).toBeGreaterThan(1000);
});
