import { describe, expect, it } from 'vitest';
import { formatRunConfig } from '../../../src/core/config';
import { decodeUtf8, type FileSource } from '../../../src/core/store';
import { openModel } from '../../../src/formats/model';
import type { AskedModel } from '../../../src/formats/asked-model';
import { withTemplateOf } from '../../../src/formats/saved-template';
import { openTextModel } from '../../../src/formats/text-model';
import { exportCheckpoint } from '../../../src/recipes';
import { adapterTextFiles, modelFolderFiles, NOT_ASKED } from '../../../src/recipes/steps/model-folder';
import { writeRunFile, writeTemplateFiles } from '../../../src/recipes/steps/outputs';
import { startOfRun } from '../../../src/recipes/steps/trainer-state';
import { files, folder } from '../formats/support';
import { encodeCheckpoint, MemoryStore, run, tensor } from './support';

const STARTER = folder('public/models/starter');
const TEMPLATE = 'chat_template.jinja';

/** The starter with other files in place of its own; undefined takes one away. */
async function starter(changes: Record<string, string | object | undefined> = {}): Promise<FileSource> {
  const held: Record<string, Uint8Array | string | object> = {};
  for (const name of await STARTER.list()) held[name] = await STARTER.read(name);
  for (const [name, content] of Object.entries(changes)) {
    if (content === undefined) delete held[name];
    else held[name] = content;
  }
  return files(held);
}

/** The starter without a chat template. */
async function plainStarter(): Promise<FileSource> {
  const config = await read(STARTER, 'tokenizer_config.json');
  return starter({ 'tokenizer_config.json': { ...config, chat_template: null } });
}

async function read(source: FileSource, name: string): Promise<Record<string, unknown>> {
  return JSON.parse(decodeUtf8(await source.read(name))) as Record<string, unknown>;
}

/** The files of a model folder by name. */
async function written(base: FileSource, asked: AskedModel, tied = true): Promise<FileSource> {
  const made = await modelFolderFiles(base, { asked, tied });
  return files(Object.fromEntries(made.map(({ name, bytes }) => [name, bytes])));
}

const conversation = {
  messages: [
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'Good day.' },
    { role: 'user', content: 'Thanks' },
  ],
};
const rendered = ({ template }: AskedModel) => template!.render(conversation, { addGenerationPrompt: true });

describe('generation_config.json of a trained model', () => {
  const eos = async (changes: Record<string, string | object | undefined>) => {
    const base = await starter(changes);
    const made = await written(base, await openTextModel(base));
    return read(made, 'generation_config.json');
  };
  const id = async (text: string) =>
    (await openTextModel(STARTER)).tokenizer.encode(text, { addSpecialTokens: false })[0];

  it('is the base model’s, byte for byte, where that stops at the end of a turn', async () => {
    const made = await written(STARTER, await openTextModel(STARTER));
    expect(await made.read('generation_config.json')).toEqual(await STARTER.read('generation_config.json'));
  });

  it('stops there where the base model’s doesn’t, and keeps the rest', async () => {
    const end = await id('<|end|>');
    const config = { ...(await read(STARTER, 'config.json')), eos_token_id: 1 };
    const own = { eos_token_id: 1, temperature: 0.5, do_sample: true };
    expect(await eos({ 'generation_config.json': own, 'config.json': config })).toEqual({
      ...own,
      eos_token_id: [1, end],
    });
    expect(await eos({ 'generation_config.json': { top_k: 0 }, 'config.json': config })).toEqual({
      top_k: 0,
      eos_token_id: [1, end],
    });
    expect(await eos({ 'generation_config.json': undefined, 'config.json': config })).toEqual({
      eos_token_id: [1, end],
    });
    expect(await eos({ 'generation_config.json': { eos_token_id: ['x', 99_999] } })).toEqual({ eos_token_id: end });
    expect(await eos({ 'generation_config.json': '{"eos_token_id": 1,' })).toEqual({ eos_token_id: end });
  });

  it('is not made where config.json says it', async () => {
    const base = await starter({ 'generation_config.json': undefined });
    const made = await written(base, await openTextModel(base));
    expect(await made.size('generation_config.json')).toBeUndefined();
  });

  it('is left alone where token ids were trained', async () => {
    const own = { eos_token_id: 1 };
    const made = await written(await starter({ 'generation_config.json': own }), NOT_ASKED);
    expect(await read(made, 'generation_config.json')).toEqual(own);
  });
});

describe('config.json of a trained model', () => {
  it('tells whether the head is tied', async () => {
    const asked = await openTextModel(STARTER);
    const tied = { ...(await read(STARTER, 'config.json')), tie_word_embeddings: true };
    const base = await starter({ 'config.json': tied });
    expect((await read(await written(base, asked, true), 'config.json'))['tie_word_embeddings']).toBe(true);
    const untied = await read(await written(base, asked, false), 'config.json');
    expect(untied).toEqual({ ...tied, tie_word_embeddings: false });
  });
});

describe('the chat template that was trained', () => {
  it('is not repeated where it is the base model’s own', async () => {
    const asked = await openTextModel(STARTER);
    expect(await adapterTextFiles(STARTER, asked)).toEqual([]);
    expect(await (await written(STARTER, asked)).size(TEMPLATE)).toBeUndefined();
  });

  it('is saved with adapter and model where it is the fallback, and renders without Graft’s own variables', async () => {
    const base = await plainStarter();
    const asked = await openTextModel(base);
    expect(asked.template.source).toBe('alpaca');
    const saved = await adapterTextFiles(base, asked);
    expect(saved.map(({ name }) => name)).toEqual([
      TEMPLATE,
      'tokenizer.json',
      'tokenizer_config.json',
      'special_tokens_map.json',
    ]);
    for (const source of [files({ [TEMPLATE]: saved[0]!.bytes }), await written(base, asked)]) {
      const again = await withTemplateOf(await openTextModel(base), source);
      expect(again.template.source).toBe(TEMPLATE);
      expect(again.template.text).toMatch(/^\{%- set opening_bos = ".*" %\}\n\{%- set eos_token = ".*" %\}\n/);
      expect(rendered(again)).toBe(rendered(asked));
      expect(again.tokenizer.stopTokenIds).toEqual(asked.tokenizer.stopTokenIds);
    }
  });

  it('is saved where it is another one than the base model’s, in place of that', async () => {
    const text = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<|end|>{% endfor %}";
    for (const base of [STARTER, await starter({ [TEMPLATE]: 'another' })]) {
      const asked = await withTemplateOf(await openModel(base), files({ [TEMPLATE]: text }));
      expect(rendered(asked)).toBe('<user>Hello<|end|><assistant>Good day.<|end|><user>Thanks<|end|>');
      const made = await written(base, asked);
      expect((await made.list()).filter((name) => name === TEMPLATE)).toHaveLength(1);
      expect(decodeUtf8(await made.read(TEMPLATE))).toBe(text);
      expect((await adapterTextFiles(base, asked))[0]).toMatchObject({ name: TEMPLATE });
    }
  });

  it('stays the model’s own where the adapter brings none', async () => {
    const model = await openModel(STARTER);
    expect(await withTemplateOf(model, files({ 'adapter_config.json': {} }))).toBe(model);
  });

  it('goes with the checkpoint of a run that was cut off', async () => {
    const base = await plainStarter();
    const store = new MemoryStore();
    await writeTemplateFiles(store, base, await openTextModel(base));
    const config = run({ lora_target_modules: '[q_proj]' });
    await writeRunFile(store, config);
    const state = [tensor('base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', [1, 2])];
    const hashes = { datasetHash: '', modelHash: '' };
    const checkpoint = { run: config, ...hashes, progress: { ...startOfRun(), step: 2 }, state };
    await store.write('checkpoint-0', await encodeCheckpoint(checkpoint));
    const adapter = await exportCheckpoint(store, () => Promise.resolve(base));
    expect(adapter.files.map(({ name }) => name)).toEqual(expect.arrayContaining([TEMPLATE, 'tokenizer.json']));

    const full = run({ use_peft: 'false' });
    const whole = { ...checkpoint, run: full, state: [tensor('lm_head.weight', [1, 2])] };
    await store.write('checkpoint-0', await encodeCheckpoint(whole));
    const { files: made } = await exportCheckpoint(store, () => Promise.resolve(base));
    const byName = new Map(made.map(({ name, bytes }) => [name, bytes]));
    expect(decodeUtf8(byName.get(TEMPLATE)!)).toContain('### Response:');
    expect(JSON.parse(decodeUtf8(byName.get('config.json')!))).toMatchObject({ tie_word_embeddings: false });
    expect(decodeUtf8(byName.get('run.yaml')!)).toBe(formatRunConfig(full));
  });

  it('of an earlier run in the same folder is removed, and a file that is not Graft’s stays', async () => {
    const base = await plainStarter();
    const store = new MemoryStore();
    await store.write('tokenizer.json', new Uint8Array(1));
    await writeTemplateFiles(store, base, NOT_ASKED);
    expect(await store.list()).toEqual(['tokenizer.json']);
    await writeTemplateFiles(store, base, await openTextModel(base));
    await writeRunFile(store, run());
    await writeTemplateFiles(store, STARTER, await openTextModel(STARTER));
    expect(await store.list()).toEqual(['run.yaml']);
  });
});
