import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { FileSource } from '../../../src/core/store';
import { openModel } from '../../../src/formats/model';
import { openTextModel } from '../../../src/formats/text-model';
import { memorySource } from '../../../src/formats/sources';
import { tinyModel } from '../recipes/support';
import { expectError, files, folder } from './support';

const STARTER = folder('public/models/starter');

/** Some files of the starter, with others in place of them. */
async function starter(names: readonly string[], more: Record<string, string | object> = {}): Promise<FileSource> {
  const held: Record<string, Uint8Array> = {};
  for (const name of names) held[name] = await STARTER.read(name);
  return files({ ...held, ...more });
}

const TEXT = ['tokenizer.json', 'tokenizer_config.json'];

describe('openTextModel', () => {
  it('has what openModel has of the text', async () => {
    const [text, model] = await Promise.all([openTextModel(STARTER), openModel(STARTER)]);
    expect(text.vocabSize).toBe(model.spec.vocabSize);
    expect(text.maxPositions).toBe(model.spec.maxPositions);
    expect(text.tokenizer.stopTokenIds).toEqual(model.tokenizer!.stopTokenIds);
    expect(text.template.text).toBe(model.template!.text);
    expect(text.notices).toEqual([]);
  });

  it("needs no more than the tokenizer's files", async () => {
    const text = await openTextModel(await starter(TEXT));
    expect(text.vocabSize).toBe(text.tokenizer.vocabSize);
    expect(text.maxPositions).toBe(Infinity);
    expect(text.template.source).toBe('tokenizer_config.json');
  });

  it('goes without a config.json that is broken, and takes any architecture', async () => {
    const broken = await openTextModel(await starter(TEXT, { 'config.json': '{"vocab_size": 12,,}' }));
    expect(broken.maxPositions).toBe(Infinity);
    expect(broken.notices).toEqual([
      expect.stringMatching(/config\.json .*Tokenizer and template are used without it/),
    ]);
    const config = { model_type: 'mamba', text_config: { vocab_size: 4096, max_position_embeddings: 77 } };
    const other = await openTextModel(await starter(TEXT, { 'config.json': config }));
    expect([other.vocabSize, other.maxPositions]).toEqual([4096, 77]);
  });

  it('opens a GGUF file', async () => {
    const bytes = new Uint8Array(readFileSync('test/golden/gguf/llama.gguf'));
    const gguf = memorySource('alone', { 'm.gguf': bytes });
    await expectError(() => openTextModel(gguf), 'not-found', /alone\/m\.gguf has no tokenizer\.json/);
  });

  it('says where there is no tokenizer', async () => {
    await expectError(() => openTextModel(files({ 'config.json': {} })), 'not-found', /has no tokenizer\.json/);
  });
});

describe('a generation_config.json', () => {
  const open = async (generation: string | object) => {
    const source = await tinyModel();
    const held = Object.fromEntries(
      await Promise.all((await source.list()).map(async (file) => [file, await source.read(file)] as const)),
    );
    return openModel(files({ ...held, 'generation_config.json': generation }));
  };

  it('may switch off and cool down what others draw', async () => {
    const { generationConfig, notices } = await open({ do_sample: true, top_k: 0, temperature: 0, top_p: 0 });
    expect(generationConfig).toEqual({ doSample: true, topK: 0, temperature: 0, topP: 0 });
    expect(notices).toEqual([]);
  });

  it.each([
    [{ top_k: -1, top_p: 0.9 }, { topP: 0.9 }, /generation_config\.json: top_k is -1, but it must be a whole number/],
    [{ top_k: 2.5 }, {}, /top_k is 2\.5/],
    [{ top_p: 1.5, top_k: 3 }, { topK: 3 }, /top_p is 1\.5, but it must be a number from 0 to 1/],
    [
      { min_p: 2, repetition_penalty: 1.1 },
      { repetitionPenalty: 1.1 },
      /min_p is 2, but it must be a number from 0 to 1/,
    ],
    [{ repetition_penalty: 0, min_p: 0.1 }, { minP: 0.1 }, /repetition_penalty is 0, but it must be a number above 0/],
    [{ temperature: -1 }, {}, /temperature is -1, but it must be a number, 0 or more/],
    [{ temperature: '0.7' }, {}, /temperature is "0\.7"/],
    [{ do_sample: 'yes' }, {}, /do_sample is "yes", but it must be true or false/],
    [{ max_new_tokens: 0 }, {}, /max_new_tokens is 0/],
    [{ eos_token_id: 'end' }, {}, /eos_token_id is "end", but it must be a token id/],
    [{ eos_token_id: [2, 40] }, {}, /eos_token_id is \[2,40\], but the model has only 40 tokens/],
    ['{"top_k": 5', {}, /generation_config\.json .* The model opens without its hints for answering/],
    ['[1]', {}, /generation_config\.json .* The model opens without its hints/],
  ])('with %j gives what is valid, and says what is not', async (generation, valid, line) => {
    const { generationConfig, notices } = await open(generation);
    expect(generationConfig).toEqual(valid);
    expect(notices).toEqual([expect.stringMatching(line)]);
  });
});
