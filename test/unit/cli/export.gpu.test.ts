import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { toFloat32 } from '../../../src/core/dtypes';
import { readAll } from '../../../src/formats/safetensors';
import { relativeError } from '../../support/compare';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-export-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(8));
  writeFileSync(path('ids.json'), JSON.stringify({ input_ids: [[1, 5, 9, 2, 7, 3, 11]] }));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function logits(output: string, ...args: string[]): Promise<Float32Array> {
  const { code, err } = await graft('forward', ...args, '--input', path('ids.json'), '--output', path(output));
  expect(code, err).toBe(0);
  const tensors = await readAll(await openFolder(root), output);
  return toFloat32(tensors.find(({ name }) => name === 'logits')!.bytes, 'f32');
}

describe('graft export', () => {
  test.each([
    ['plain', []],
    ['dora', ['--use_dora', 'true']],
    // The head of this model is tied to its embedding.
    ['own-head', ['--lora_modules_to_save', 'lm_head']],
    ['own-embedding', ['--lora_modules_to_save', 'embed_tokens,norm']],
    ['token-rows', ['--trainable_token_indices', '1,5,36']],
    ['one-table', ['--lora_modules_to_save', 'lm_head', '--ensure_weight_tying', 'true']],
  ])('a merged model gives the logits of its adapter (%s)', async (kind, flags) => {
    const [run, merged] = [path(`run-${kind}`), path(`merged-${kind}`)];
    const settings = ['--learning_rate', '0.02', '--max_steps', '3', '--lora_r', '4', ...flags];
    const trained = await graft(
      ...['train', '--model', path('model'), '--data', path('rows.jsonl'), '--output', run],
      ...settings,
    );
    expect(trained.code, trained.err).toBe(0);
    const { code, err } = await graft('export', '--model', path('model'), '--adapter', run, '--output', merged);
    expect(code, err).toBe(0);

    const base = await logits('base.safetensors', '--model', path('model'));
    const tuned = await logits('tuned.safetensors', '--model', path('model'), '--adapter', run);
    const whole = await logits('whole.safetensors', '--model', merged);
    expect(relativeError(base, tuned)).toBeGreaterThan(1e-2);
    expect(relativeError(whole, tuned)).toBeLessThan(2e-5);
    const config = readFileSync(join(merged, 'config.json'), 'utf8');
    expect(config).toContain('LlamaForCausalLM');
    expect(config).toContain(`"tie_word_embeddings": ${String(!kind.startsWith('own'))}`);
  });

  test('never writes into a folder that holds files', async () => {
    const { code, err } = await graft(
      ...['export', '--model', path('model'), '--adapter', path('run-plain'), '--output', path('model')],
    );
    expect([code, err]).toEqual([1, expect.stringMatching(/holds files already: name a new folder/)]);
  });
});
