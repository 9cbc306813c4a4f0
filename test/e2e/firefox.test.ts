/** The main path in Firefox: its WebGPU is another (wgpu), and so are its limits, its storage and its workers. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TrainerState } from '../../src/core/events';
import { Firefox } from '../support/firefox';
import { serveSite } from '../support/site.mjs';
import { graft } from '../unit/cli/support';

const ROWS = 8;
/** Of two WebGPU implementations, relative. */
const TOLERANCE = 1e-4;

const losses = (bytes: Buffer) =>
  (JSON.parse(bytes.toString()) as TrainerState).log_history.flatMap(({ loss }) => loss ?? []);

test('one click trains, and the adapter answers, is there after a reload and is downloaded', async ({
  onTestFinished,
}) => {
  const site = await serveSite();
  onTestFinished(() => site.close());
  const firefox = await Firefox.launch();
  onTestFinished(() => firefox.close());
  const { page } = firefox;

  await page.goto(site.url);
  await page.waitForSelector('[data-testid=quick-start]:enabled');
  await expect.poll(() => firefox.text('device'), { timeout: 30_000 }).toBe("This browser doesn't name the GPU");
  await firefox.fill('first-rows', String(ROWS));
  await firefox.click('[data-testid=presets] input[value=quick]');
  await firefox.click('[data-testid=quick-start]');
  await firefox.state('finished');

  await firefox.openPart('Chat');
  await firefox.fill('chat-input', 'What does it mean to waive a title fee?');
  await firefox.click('[data-testid=send]');
  await page.waitForSelector('[data-testid=tuned-answer][data-state=done]');
  expect(await firefox.text('tuned-answer')).not.toBe('');

  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await page.reload();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true); // kept with its headers
  await firefox.state('finished');
  await firefox.openPart('Files');
  const inFirefox = losses(await firefox.download('trainer_state.json'));
  const adapter = await firefox.download('adapter_model.safetensors');

  const folder = mkdtempSync(join(tmpdir(), 'graft-firefox-run-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const runFile = join(folder, 'run.yaml');
  writeFileSync(runFile, await firefox.download('run.yaml'));
  const { code, err } = await graft('train', runFile, '--output', join(folder, 'run'));
  expect(code, err).toBe(0);
  const expected = losses(readFileSync(join(folder, 'run/trainer_state.json')));
  expect(inFirefox).toHaveLength(expected.length);
  for (const [step, loss] of expected.entries())
    expect(Math.abs(inFirefox[step]! / loss - 1), `step ${step + 1}`).toBeLessThan(TOLERANCE);
  expect(adapter.byteLength).toBe(statSync(join(folder, 'run/adapter_model.safetensors')).size);

  await firefox.click('[data-testid=place-settings]');
  expect(await firefox.text('browser-gaps')).toContain('Chrome and Edge');
  expect(firefox.problems).toEqual([]);
});
