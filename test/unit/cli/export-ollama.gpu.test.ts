/** Folders for Ollama, from the command line: written, read back, and found out where they ask otherwise. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { readGgufHeader } from '../../../src/formats/gguf';
import { parseModelfile } from '../../../src/formats/ollama';
import { tinyModel } from '../recipes/support';
import { graft, jsonLines, writeFolder } from './support';

let root: string;
const path = (...names: string[]) => join(root, ...names);
const starter = (file: string) => readFileSync(`public/models/starter/${file}`);

/** A model of few weights with the starter's words, whose texts begin with BOS, and whose template may. */
async function writeModel(name: string, template: (own: string) => string): Promise<void> {
  await writeFolder(path(name), await tinyModel({ vocab_size: 3072, max_position_embeddings: 128 }));
  const config = JSON.parse(starter('tokenizer_config.json').toString()) as { chat_template: string };
  writeFileSync(path(name, 'tokenizer.json'), starter('tokenizer.json'));
  writeFileSync(
    path(name, 'tokenizer_config.json'),
    JSON.stringify({
      ...config,
      ...{ bos_token: '<|endoftext|>', add_bos_token: true, chat_template: template(config.chat_template) },
    }),
  );
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-export-ollama-'));
  await writeModel('begins', (own) => `{{ bos_token }}${own}`);
  await writeModel('without', (own) => own);
  await writeModel('counts', () => '{% for m in messages %}{{ loop.index }}. {{ m.content }}\n{% endfor %}');
  for (const name of ['begins', 'without']) {
    const settings = ['--learning_rate', '0.05', '--max_steps', '3', '--lora_r', '4', '--max_length', '128'];
    const { code, err } = await graft(
      ...['train', '--model', path(name), '--data', 'title-fees', '--output', path(`run-${name}`), ...settings],
    );
    expect(code, err).toBe(0);
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sources = (model: string) => ['--model', path(model), '--adapter', path(`run-${model}`)];
const exported = (model: string, output: string, ...flags: string[]) =>
  graft('export', ...sources(model), '--format', 'ollama', '--output', path(output), ...flags);
const modelfile = (output: string) => readFileSync(path(output, 'Modelfile'), 'utf8');

describe('graft export --format ollama', () => {
  test('writes the merged model and a Modelfile that asks it as Graft does', async () => {
    const { code, out, err } = await exported('begins', 'merged', '--type', 'Q8_0', '--system', 'Be brief.', '--json');
    expect(code, err).toBe(0);
    const [summary] = jsonLines<{ verification: { findings: string[] } }>(out).slice(-1);
    expect(summary!.verification.findings).toEqual([]);
    expect(readdirSync(path('merged')).sort()).toEqual(['Modelfile', 'README.md', 'model-Q8_0.gguf']);
    const card = readFileSync(path('merged', 'README.md'), 'utf8');
    expect(card).toContain('ollama create merged -f merged/Modelfile');
    expect(card).toMatch(/\| Result \| passed \|/);
    const instructions = parseModelfile(modelfile('merged'), 'it');
    expect(instructions).toContainEqual({ name: 'from', value: './model-Q8_0.gguf' });
    expect(instructions).toContainEqual({ name: 'system', value: 'Be brief.' });
    expect(instructions).toContainEqual({ name: 'stop', value: '<|end|>' });
    expect(instructions).toContainEqual({ name: 'num_ctx', value: '128' });
    // The file has BOS put before prompts, and the TEMPLATE doesn't write a second one.
    const { metadata } = await readGgufHeader(await openFolder(path('merged')), 'model-Q8_0.gguf');
    expect(metadata.boolean('tokenizer.ggml.add_bos_token')).toBe(true);
    expect(instructions.find(({ name }) => name === 'template')!.value).not.toContain('<|endoftext|>');
  });

  test('has no BOS put before conversations that begin without', async () => {
    const { code, err } = await exported('without', 'no-bos', '--type', 'F32');
    expect(code, err).toBe(0);
    expect(err).toContain(
      'The file puts no <|endoftext|> before prompts, as conversations of this model begin without it',
    );
    const { metadata } = await readGgufHeader(await openFolder(path('no-bos')), 'model-F32.gguf');
    expect(metadata.boolean('tokenizer.ggml.add_bos_token')).toBe(false);
    const verified = await graft('verify', path('no-bos'), ...sources('without'));
    expect(verified.code, verified.err).toBe(0);
  });

  test('keeps the adapter apart where that is asked for, and both files are verified', async () => {
    const { code, err } = await exported('begins', 'apart', '--type', 'F32', '--keep-adapter');
    expect(code, err).toBe(0);
    const instructions = parseModelfile(modelfile('apart'), 'it');
    expect(instructions.slice(0, 2)).toEqual([
      { name: 'from', value: './base-F32.gguf' },
      { name: 'adapter', value: './adapter.gguf' },
    ]);
    const verified = await graft('verify', path('apart'), ...sources('begins'));
    expect(verified.code, verified.err).toBe(0);
    const other = await graft('verify', path('apart'), '--model', path('begins'), '--adapter', path('run-without'));
    expect(other.code, other.err).toBe(1);
  });

  test('and a Modelfile that asks otherwise is found', async () => {
    expect((await exported('begins', 'changed', '--type', 'F32')).code).toBe(0);
    const good = modelfile('changed');
    for (const [bad, finding] of [
      [good.replace('TEMPLATE """', 'TEMPLATE """<|endoftext|>'), /Ollama asks with "<\|endoftext\|><\|endoftext\|>/],
      [good.replace('PARAMETER stop "<|end|>"\n', ''), /doesn't end an answer at <\|end\|>/],
    ] as const) {
      writeFileSync(path('changed', 'Modelfile'), bad);
      const { code, err } = await graft('verify', path('changed'), ...sources('begins'));
      expect([code, err]).toEqual([1, expect.stringMatching(finding)]);
    }
  });

  test('refuses a template that Ollama has no words for before it writes anything', async () => {
    const flags = ['--model', path('counts'), '--format', 'ollama', '--output', path('none')];
    const { code, err } = await graft('export', ...flags);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/can't be said as a TEMPLATE of Ollama: what it writes .* depends on the turn, /),
    ]);
    expect(readdirSync(root)).not.toContain('none');
    expect((await graft('export', ...sources('begins'), '--system', 'x', '--output', path('none'))).code).toBe(2);
  });
});
