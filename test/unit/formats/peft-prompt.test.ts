/** Prompt tuning in adapter folders, as PEFT writes and reads them. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PROMPT_EMBEDDINGS } from '../../../src/core/adapter';
import { fromFloat32 } from '../../../src/core/dtypes';
import { encodeUtf8 } from '../../../src/core/store';
import type { WeightTensor } from '../../../src/core/weights';
import { adapterFiles, checkAdapter, readAdapter } from '../../../src/formats/peft';
import { writeSafetensors } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { readSpec } from '../../../src/formats/model';
import { tinySpec } from '../../support/decoder-spec';
import { folder } from '../../support/folder';
import { hasReference, reference } from '../../support/reference';
import { expectError } from './support';

const tensor = (name: string, shape: number[]): WeightTensor => ({
  name,
  dtype: 'f32',
  shape,
  bytes: fromFloat32(
    new Float32Array(shape.reduce((product, extent) => product * extent, 1)).map((_, i) => Math.sin(i)),
    'f32',
  ),
});
const CONFIG = { peft_type: 'PROMPT_TUNING', task_type: 'CAUSAL_LM', num_virtual_tokens: 3, token_dim: 24 };
const own = [tensor(PROMPT_EMBEDDINGS, [3, 24])];

const prompt = (change: object = {}, tensors = own) =>
  memorySource('mine', {
    'adapter_config.json': new Uint8Array(encodeUtf8(JSON.stringify({ ...CONFIG, ...change }))),
    'adapter_model.safetensors': writeSafetensors(tensors, { format: 'pt' }),
  });

describe.skipIf(!hasReference)("PEFT's own folders", () => {
  test.each([
    ['prompt_random', undefined],
    ['prompt_text', 'Once upon a time'],
  ])('%s is read, and written as it was', async (name, initText) => {
    const path = reference('golden/prompt_tuning', name, 'adapter_final');
    const adapter = await readAdapter(folder(path));
    expect(adapter.lora).toBeUndefined();
    expect(adapter.prompt).toEqual({ numVirtualTokens: 8, ...(initText !== undefined && { initText }) });
    checkAdapter(name, adapter, await readSpec(folder(reference('models/stories260K'))));
    const [config, weights, card] = adapterFiles({
      prompt: adapter.prompt,
      baseModel: 'stories260K',
      tensors: adapter.tensors,
    });
    const theirs = JSON.parse(readFileSync(`${path}/adapter_config.json`, 'utf8')) as Record<string, unknown>;
    const written = JSON.parse(new TextDecoder().decode(config!.bytes)) as Record<string, unknown>;
    // What PEFT takes from the model where it is null.
    const fromModel = { num_attention_heads: null, num_layers: null };
    expect({ ...written, peft_version: theirs['peft_version'] }).toEqual({ ...theirs, ...fromModel });
    const again = memorySource('again', { [config!.name]: config!.bytes, [weights!.name]: weights!.bytes });
    expect(await readAdapter(again)).toEqual(adapter);
    const text = new TextDecoder().decode(card!.bytes);
    expect(text).toMatch(/- prompt-tuning\n/);
    expect(text).toContain('prompt tuning, 8 virtual tokens');
    expect(text).not.toMatch(/LoRA|lora/);
  });

  test('prefix tuning is named as what is not applied', async () => {
    const prefix = folder(reference('golden/prompt_tuning/prefix/adapter_final'));
    await expectError(
      () => readAdapter(prefix),
      'unsupported',
      /peft_type is "PREFIX_TUNING"; Graft applies LORA and PROMPT/,
    );
  });
});

describe('a prompt', () => {
  test.each([
    [{ task_type: 'SEQ_2_SEQ_LM' }, own, 'unsupported', /task_type is "SEQ_2_SEQ_LM"; Graft applies CAUSAL_LM only/],
    [{ num_transformer_submodules: 2 }, own, 'unsupported', /num_transformer_submodules is 2/],
    [
      { modules_to_save: ['lm_head'] },
      own,
      'unsupported',
      /modules_to_save is \["lm_head"\], which Graft doesn't apply/,
    ],
    [{ num_virtual_tokens: 0 }, own, 'bad-config', /num_virtual_tokens must be a whole number from 1/],
    [{ num_virtual_tokens: 4 }, own, 'bad-file', /has shape \[3, 24\], and its config 4 num_virtual_tokens/],
    [{}, [tensor('base_model.model.x.lora_A.weight', [2, 24])], 'bad-file', /lacks the tensor prompt_embeddings/],
  ] as const)('with %j is refused', async (change, tensors, code, message) => {
    await expectError(() => readAdapter(prompt(change, [...tensors])), code, message);
  });

  test('is refused by a model that has no place for it', async () => {
    const adapter = await readAdapter(prompt());
    checkAdapter('mine', adapter, tinySpec);
    const check =
      (change: object, tensors = adapter.tensors) =>
      () =>
        checkAdapter('mine', { ...adapter, tensors }, { ...tinySpec, ...change });
    await expectError(check({ hiddenSize: 32 }), 'bad-file', /has shape \[3, 24\], but the model calls for \[3, 32\]/);
    await expectError(
      check({ maxPositions: 4 }),
      'bad-config',
      /has 3 virtual tokens, and the model reads 4 tokens in all/,
    );
    await expectError(check({ embeddingScale: 8 }), 'unsupported', /scales its embeddings/);
    const more = [...adapter.tensors, tensor('base_model.model.lm_head.weight', [37, 24])];
    await expectError(
      check({}, more),
      'bad-file',
      /holds the tensor base_model\.model\.lm_head\.weight, which has no place/,
    );
  });
});
