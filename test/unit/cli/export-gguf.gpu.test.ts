import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);

async function train(output: string, ...flags: string[]): Promise<void> {
  const settings = ['--learning_rate', '0.05', '--max_steps', '3', '--lora_r', '4', ...flags];
  const { code, err } = await graft(
    ...['train', '--model', path('model'), '--data', path('rows.jsonl'), '--output', path(output)],
    ...settings,
  );
  expect(code, err).toBe(0);
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-export-gguf-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(8));
  await train('lora');
  await train('rslora', '--use_rslora', 'true', '--lora_alpha', '3');
  await train('own-head', '--lora_modules_to_save', 'lm_head');
  await train('dora', '--use_dora', 'true');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const exported = (output: string, ...flags: string[]) =>
  graft('export', '--model', path('model'), '--output', path(output), ...flags);

interface Summary {
  verification: { findings: string[]; answers: { logitError: number; sameAnswers: number; prompts: number } };
}

describe('graft export --format gguf', () => {
  test.each([
    ['lora', 'F32'],
    ['rslora', 'Q8_0'],
    ['own-head', 'F32'],
    ['dora', 'BF16'],
  ])('writes the model with its adapter and reads it back (%s, %s)', async (adapter, type) => {
    const output = `${adapter}-${type}.gguf`;
    const flags = ['--format', 'gguf', '--type', type, '--adapter', path(adapter), '--json'];
    const { code, out, err } = await exported(output, ...flags);
    expect(code, err).toBe(0);
    const { verification } = JSON.parse(out.trim().split('\n').at(-1)!) as Summary;
    expect(verification.findings).toEqual([]);
    if (type === 'F32') expect(verification.answers.logitError).toBeLessThan(2e-5);
    const card = readFileSync(path(output.replace('.gguf', '.md')), 'utf8');
    expect(card).toMatch(/\| Prompts \| 3, of Graft's own \|/);
    expect(card).toMatch(/\| Logits \| largest difference [\d.e-]+, mean [\d.e-]+ \|/);
    const { sameAnswers } = verification.answers;
    expect(card).toContain(`| Greedy answers the same | ${sameAnswers} of 3 |`);
    expect(card).toContain('| Result | passed |');
    expect(card).toContain(`llama-server --model ${output} --port 8080`);
    const verified = await graft('verify', path(output), '--model', path('model'), '--adapter', path(adapter));
    expect(verified.code, verified.err).toBe(0);
    expect(verified.err).toMatch(/logits: [\d.e-]+ % off where (0\.01|10) % are allowed/);
  });

  test('and graft verify exits with 1 where the file holds another model', async () => {
    expect((await exported('base.gguf', '--format', 'gguf')).code).toBe(0);
    const { code, err } = await graft('verify', path('base.gguf'), '--model', path('model'), '--adapter', path('lora'));
    expect(code).toBe(1);
    expect(err).toMatch(/q_proj\.weight is [\d.]+ % off in the file; as F16 it may be 0\.2 %/);
    expect(err).toMatch(/base\.gguf is not the model: the differences are above\. Don't use the file\./);
  });

  test('a merged folder is verified too', async () => {
    const merged = await exported('merged', '--adapter', path('lora'));
    expect(merged.code, merged.err).toBe(0);
    expect(readFileSync(join(path('merged'), 'README.md'), 'utf8')).toMatch(/\| Result \| passed \|/);
    const right = await graft('verify', path('merged'), '--model', path('model'), '--adapter', path('lora'));
    expect(right.code, right.err).toBe(0);
    const wrong = await graft('verify', path('merged'), '--model', path('model'), '--adapter', path('rslora'));
    expect(wrong.code).toBe(1);
  });

  test('never writes over a file, and wants a name that says what it is', async () => {
    writeFileSync(path('taken.gguf'), 'mine');
    const { code, err } = await exported('taken.gguf', '--format', 'gguf');
    expect([code, err]).toEqual([1, expect.stringMatching(/taken\.gguf is there already: name a new file/)]);
    expect(readFileSync(path('taken.gguf'), 'utf8')).toBe('mine');
    writeFileSync(path('noted.md'), 'mine');
    expect((await exported('noted.gguf', '--format', 'gguf')).err).toMatch(/noted\.md is there already/);
    expect((await exported('folder', '--format', 'gguf')).code).toBe(2);
    const type = await exported('odd.gguf', '--format', 'gguf', '--type', 'Q3_K');
    expect([type.code, type.err]).toEqual([2, expect.stringMatching(/--type must be one of F32, F16, BF16, Q8_0/)]);
  });
});

describe('graft export --format gguf-lora', () => {
  test.each(['lora', 'rslora'])('writes the adapter alone, and reads it back (%s)', async (adapter) => {
    const output = `${adapter}-alone.gguf`;
    const { code, out, err } = await exported(output, '--format', 'gguf-lora', '--adapter', path(adapter), '--json');
    expect(code, err).toBe(0);
    const { verification } = JSON.parse(out.trim().split('\n').at(-1)!) as Summary;
    expect(verification.findings).toEqual([]);
    expect(verification.answers.logitError).toBeLessThan(1e-5);
    const other = adapter === 'lora' ? 'rslora' : 'lora';
    const wrong = await graft('verify', path(output), '--model', path('model'), '--adapter', path(other));
    expect(wrong.code, wrong.err).toBe(1);
  });

  test.each([
    ['dora', /has DoRA, which scales whole rows of the model\. Export it merged, with --format gguf/],
    ['own-head', /has modules trained whole \(lm_head\)\. Export it merged/],
  ])('refuses what only a merged file holds (%s)', async (adapter, message) => {
    const { code, err } = await exported(`no-${adapter}.gguf`, '--format', 'gguf-lora', '--adapter', path(adapter));
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
    expect(existsSync(path(`no-${adapter}.gguf`))).toBe(false);
  });
});
