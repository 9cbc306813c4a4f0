import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TrainerState } from '../../src/core/events';
import { test } from '../support/browser';
import { swiftShaderEnvironment } from '../support/drivers.mjs';
import { graft } from '../unit/cli/support';

const RUN = `
model_name_or_path: starter
learning_rate: 3.0e-3
lr_scheduler_type: linear
warmup_steps: 2
max_steps: 6
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
max_length: 64
lora_r: 8
lora_dropout: 0.1
use_dora: true
val_set_size: 2
eval_steps: 3
seed: 11
`;

const rows = readFileSync('public/datasets/title-fees.jsonl', 'utf8').split('\n').slice(0, 10).join('\n');
const losses = (bytes: Buffer) =>
  (JSON.parse(bytes.toString()) as TrainerState).log_history.map((row) => row.loss ?? row.eval_loss ?? NaN);

test('the same run file gives the same losses in the page and on the command line', async ({
  page,
  site,
  onTestFinished,
}) => {
  const folder = mkdtempSync(join(tmpdir(), 'graft-same-run-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const data = join(folder, 'pairs.jsonl');
  writeFileSync(data, rows);

  await page.goto(site.url);
  await page.getByTestId('dataset-file').setInputFiles(data);
  const runFile = page.getByTestId('run-file');
  await page.locator('details', { has: runFile }).locator('summary').click();
  await runFile.fill(RUN);
  await page.getByTestId('run-file-apply').click();
  await page.getByTestId('start').click();
  await page
    .getByTestId('status')
    .filter({ hasText: /finished/i })
    .waitFor({ timeout: 300_000 });
  await page.getByRole('link', { name: 'Files', exact: true }).click();
  const saved = async (file: string) => {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: `Download ${file}`, exact: true }).click();
    return readFileSync(await (await download).path());
  };
  const inPage = losses(await saved('trainer_state.json'));
  const adapterInPage = await saved('adapter_model.safetensors');
  const merged = page.waitForEvent('download');
  await page.getByTestId('download-merged').click();
  const archive = readFileSync(await (await merged).path());
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']) {
    expect(archive.includes(`-merged/${file}`), file).toBe(true);
  }

  writeFileSync(join(folder, 'run.yaml'), RUN);
  const output = join(folder, 'output');
  // Chromium's WebGPU runs on the SwiftShader that it ships; so shall this.
  const previous = { ...process.env };
  Object.assign(process.env, swiftShaderEnvironment());
  const { code, err } = await graft('train', join(folder, 'run.yaml'), '--data', data, '--output', output);
  process.env = previous;
  expect(code, err).toBe(0);
  const onCommandLine = losses(readFileSync(join(output, 'trainer_state.json')));

  expect(inPage).toHaveLength(8);
  expect(onCommandLine).toHaveLength(8);
  inPage.forEach((loss, i) => expect(Math.abs(loss - onCommandLine[i]!), `row ${i}`).toBeLessThan(1e-5));
  expect(adapterInPage.byteLength).toBe(readFileSync(join(output, 'adapter_model.safetensors')).byteLength);
});
