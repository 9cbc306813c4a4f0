/** `graft combine`: its flags, its folder, and that PEFT's reference adapters go through it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hasReference, reference } from '../../support/reference';
import { runHere } from './support';

const root = mkdtempSync(join(tmpdir(), 'graft-combine-'));
afterAll(() => rmSync(root, { recursive: true }));

describe('a wrong call', () => {
  it.each([
    [[], 'Name the adapters to combine'],
    [['a', 'b', '--weights', '1'], 'There are 2 adapters and 1 weight: give one for each.'],
    [['a', 'b', '--weights', '1,x'], '--weights must be numbers with commas between, as in 0.7,0.3, but is "1,x".'],
    [['a', 'b', '--weights', '1,'], '--weights must be numbers'],
    [['a', 'b', '--weights', '0,0'], '--weights are all 0'],
    [
      ['a', 'b', '--weights', '1,1', '--combination-type', 'slerp'],
      '--combination-type must be one of svd, cat, linear',
    ],
    [['a', 'b', '--weights', '1,1', '--combination-type', 'ties'], '--density is missing: ties keeps a part'],
    [
      ['a', 'b', '--weights', '1,1', '--combination-type', 'ties', '--density', '0'],
      'above 0 and at most 1, but is "0"',
    ],
    [['a', 'b', '--weights', '1,1', '--density', '0.5'], '--density goes with --combination-type ties, dare_linear'],
    [['a', 'b', '--weights', '1,1', '--svd-rank', '0'], '--svd-rank must be a whole number, 1 or more'],
  ])('%j is one sentence, and ends with 2', async (words, sentence) => {
    const { code, err } = await runHere('combine', ...words, '--output', join(root, 'none'));
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(err.trim().split('\n')[0]).toContain(sentence);
  });
});

describe.skipIf(!hasReference)('reference adapters', () => {
  const adapter = (name: string) => reference('golden/adapters', name, 'adapter_final');

  it('are one by svd, at the larger rank, in a folder that names them', async () => {
    const output = join(root, 'svd');
    const words = ['combine', adapter('lora_all'), adapter('lora_qv'), '--weights', '0.5,0.5', '--output', output];
    const { code, err } = await runHere(...words);
    expect(err).toContain('2 adapters in one, of rank 8');
    expect(code).toBe(0);
    expect(readdirSync(output).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
    const config = JSON.parse(readFileSync(join(output, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ r: 8, lora_alpha: 8, use_rslora: false, rank_pattern: {}, alpha_pattern: {} });
    const card = readFileSync(join(output, 'README.md'), 'utf8');
    expect(card).toContain('| Combined from | lora_all/adapter_final (0.5), lora_qv/adapter_final (0.5) |');
    expect(card).toContain('combined from others with Graft');
    expect(await runHere(...words)).toMatchObject({
      code: 1,
      err: expect.stringContaining('name a new folder') as string,
    });
  });

  it('are refused where one is DoRA', async () => {
    const words = ['combine', adapter('lora_all'), adapter('dora'), '--weights', '1,1', '--output', join(root, 'dora')];
    expect(await runHere(...words)).toMatchObject({
      code: 1,
      err: expect.stringContaining('is a DoRA adapter') as string,
    });
  });
});
