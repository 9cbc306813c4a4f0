import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-export-int4-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(30));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const exported = (...flags: string[]) => graft('export', '--model', path('model'), ...flags);

describe('graft export --format gptq', () => {
  test('writes a folder that is read back, has a card, opens as a model, and is verified', async () => {
    const flags = ['--format', 'gptq', '--data', path('rows.jsonl'), '--output', path('gptq')];
    const { code, err } = await exported(...flags);
    expect(code, err).toBe(0);
    expect(err).toMatch(/Calibrating with 30 rows of rows\.jsonl, as \d+ sequences? of \d+ tokens\./);
    expect(err).toMatch(/Columns don't divide by 128: groups have 32 of them, in the whole model\./);
    expect(err).toMatch(/mlp\.down_proj \(48 columns\) can't be packed in groups of 32 and stays in F16/);
    const card = readFileSync(path('gptq/README.md'), 'utf8');
    expect(card).toMatch(/\| Weights stored as \| GPTQ, 4 bits in groups of 32 \|/);
    expect(card).toMatch(/\| Calibrated on \| 30 rows of rows\.jsonl, as /);
    expect(card).toMatch(/\| Result \| passed \|/);
    expect(card).toMatch(/vllm serve/);
    const verified = await graft('verify', path('gptq'), '--model', path('model'));
    expect(verified.code, verified.err).toBe(0);
    expect(verified.err).toMatch(/weights: [\d.]+ % off at most/);
  });

  test.each([
    [['--format', 'gptq'], /--data is missing: name the rows to calibrate with/],
    [['--format', 'awq', '--data', 'x', '--desc-act'], /--desc-act goes with --format gptq\./],
    [['--format', 'gguf', '--group-size', '64'], /--group-size goes with --format gptq or awq\./],
    [['--format', 'awq', '--data', 'x', '--group-size', '-1'], /--group-size must be above 0 for awq\./],
    [['--format', 'gptq', '--data', 'x', '--sym', 'yes'], /--sym must be true or false, but is "yes"\./],
    [['--format', 'gptq', '--data', 'x', '--type', 'F16'], /--type goes with --format gguf/],
  ])('refuses %j in one sentence', async (flags, message) => {
    const { code, err } = await exported(...flags, '--output', path('other'));
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });
});
