/** Adapters as one: against PEFT's add_weighted_adapter (test/golden/combined_adapters.py), and what can't be combined. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import type { LoraSpec } from '../../../src/core/spec';
import type { WeightTensor } from '../../../src/core/weights';
import { adapterFiles, readAdapter, type AdapterFile } from '../../../src/formats/peft';
import { memorySource } from '../../../src/formats/sources';
import { combineAdapters } from '../../../src/recipes';
import { combineTensors } from '../../../src/recipes/steps/task-arithmetic';

interface Numbers {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

interface Golden {
  readonly type: 'svd' | 'cat' | 'linear' | 'ties' | 'dare_linear' | 'dare_ties' | 'magnitude_prune';
  readonly weights: readonly number[];
  readonly options: { density?: number; svd_rank?: number; majority_sign_method?: 'total' | 'frequency' };
  readonly adapters: readonly {
    r: number;
    alpha: number;
    targets: readonly string[];
    tensors: Readonly<Record<string, Numbers>>;
  }[];
  readonly combined: Readonly<Record<string, Numbers>>;
}

const goldens = JSON.parse(readFileSync('test/golden/combined_adapters.json', 'utf8')) as Record<string, Golden>;

function folder(name: string, files: readonly AdapterFile[]) {
  return memorySource(name, Object.fromEntries(files.map((file) => [file.name, file.bytes])));
}

function writeAdapter(name: string, lora: Partial<LoraSpec>, tensors: Readonly<Record<string, Numbers>>) {
  const whole = { r: 2, alpha: 2, dropout: 0.1, targetModules: ['up'], useRslora: false, useDora: false, ...lora };
  const stored = Object.entries(tensors).map(([tensor, { shape, values }]): WeightTensor => {
    return { name: tensor, dtype: 'f32', shape, bytes: fromFloat32(Float32Array.from(values), 'f32') };
  });
  return folder(name, adapterFiles({ lora: whole, baseModel: 'org/tiny', tensors: stored }));
}

const random = (seed: number, ...shape: [number, number]): Numbers => {
  const draw = new Random(seed);
  return { shape, values: Array.from({ length: shape[0] * shape[1] }, () => draw.normal()) };
};

const UP = 'base_model.model.up';
const ofUp = (seed: number, rank = 2) => ({
  [`${UP}.lora_A.weight`]: random(seed, rank, 6),
  [`${UP}.lora_B.weight`]: random(seed + 1, 10, rank),
});

function product({ shape: [rows = 0, rank = 0], values: b }: Numbers, { shape: [, columns = 0], values: a }: Numbers) {
  return Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * columns + column]!;
    return sum;
  });
}

async function read(files: readonly AdapterFile[]) {
  const { lora, tensors, baseModel } = await readAdapter(folder('combined', files));
  const entries = tensors.map(({ name, shape, bytes }) => [name, { shape, values: [...toFloat32(bytes, 'f32')] }] as const); // prettier-ignore
  return { lora: lora!, baseModel, tensors: Object.fromEntries<Numbers>(entries) };
}

function expectNear(actual: readonly number[], expected: readonly number[], tolerance = 1e-6) {
  expect(actual.length).toBe(expected.length);
  expect(Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(tolerance);
}

describe("PEFT's add_weighted_adapter", () => {
  it.each(Object.entries(goldens))('%s', async (_, { type, weights, options, adapters, combined }) => {
    const { density, svd_rank: svdRank, majority_sign_method: majoritySign } = options;
    const given = adapters.map(({ r, alpha, targets, tensors }, i) => ({
      folder: writeAdapter(`a${i}`, { r, alpha, targetModules: targets }, tensors),
      weight: weights[i]!,
    }));
    const { files, rank } = await combineAdapters(given, { type, density, svdRank, majoritySign });
    const { lora, tensors } = await read(files);
    expect([lora.r, lora.alpha, lora.useRslora]).toEqual([rank, rank, false]);
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(combined).sort());
    for (const [name, { shape, values }] of Object.entries(combined)) {
      expect(tensors[name]!.shape).toEqual(shape);
      // Singular vectors have no sign of their own.
      if (type !== 'svd') expectNear(tensors[name]!.values, values);
      const other = combined[name.replace('lora_B', 'lora_A')]!;
      if (name.includes('lora_B'))
        expectNear(product(tensors[name]!, tensors[name.replace('lora_B', 'lora_A')]!), product({ shape, values }, other)); // prettier-ignore
    }
  });
});

describe('one adapter', () => {
  // PEFT takes α/r twice in svd, and leaves use_rslora on.
  it.each(['svd', 'cat', 'linear'] as const)(
    'of weight 1 is itself by %s, whatever its alpha and rsLoRA',
    async (type) => {
      const own: Readonly<Record<string, Numbers>> = ofUp(1);
      const given = writeAdapter('a', { alpha: 8, useRslora: true }, own);
      const { lora, tensors } = await read((await combineAdapters([{ folder: given, weight: 1 }], { type })).files);
      expect([lora.alpha / lora.r, lora.useRslora, lora.dropout]).toEqual([1, false, 0.1]);
      const [b, a] = [`${UP}.lora_B.weight`, `${UP}.lora_A.weight`];
      const scaled = product(own[b]!, own[a]!).map((value) => (value * 8) / Math.SQRT2);
      expectNear(product(tensors[b]!, tensors[a]!), scaled, 1e-5);
    },
  );
});

describe('random pruning', () => {
  it('keeps about its part, scaled so that the sum to expect stays, and draws the same for the same seed', () => {
    const ones = new Float32Array(20_000).fill(1);
    const keep = (seed: number) => combineTensors([ones], [1], { prune: 'random', density: 0.3 }, new Random(seed));
    const kept = keep(1);
    expect(new Set(kept)).toEqual(new Set([0, Math.fround(1 / 0.3)]));
    const mean = kept.reduce((sum, value) => sum + value, 0) / kept.length;
    expect(Math.abs(mean - 1)).toBeLessThan(0.05);
    expect(keep(1)).toEqual(kept);
    expect(keep(2)).not.toEqual(kept);
  });
});

describe('what can not be combined', () => {
  const combine = (
    lora: Partial<LoraSpec>,
    tensors: Readonly<Record<string, Numbers>>,
    type: 'linear' | 'svd' = 'svd',
  ) =>
    combineAdapters(
      [
        { folder: writeAdapter('one', {}, ofUp(1)), weight: 0.5 },
        { folder: writeAdapter('two', lora, tensors), weight: 0.5 },
      ],
      { type },
    );

  it('is named, with what to do', async () => {
    await expect(combine({ r: 4 }, ofUp(3, 4), 'linear')).rejects.toThrow(
      'one has rank 2 and two rank 4: linear takes adapters of one rank. Use svd or cat, which take any.',
    );
    await expect(combine({}, { ...ofUp(3), [`${UP}.lora_B.weight`]: random(9, 8, 2) })).rejects.toThrow(
      'base_model.model.up is 10 × 6 in one and 8 × 6 in two: they are adapters of different models',
    );
    const magnitudes = { [`${UP}.lora_magnitude_vector`]: { shape: [10], values: Array<number>(10).fill(1) } };
    await expect(combine({ useDora: true }, { ...ofUp(3), ...magnitudes })).rejects.toThrow('two is a DoRA adapter');
    const head = { 'base_model.model.lm_head.weight': random(9, 4, 6) };
    await expect(combine({ modulesToSave: ['lm_head'] }, { ...ofUp(3), ...head })).rejects.toThrow(
      'two brings modules or rows of tokens that were trained whole',
    );
  });

  it('keeps the revision of the base that the first names, and says where another names another', async () => {
    const at = async (name: string, revision: string | null) => {
      const source = writeAdapter(name, {}, ofUp(1));
      const entries = await Promise.all((await source.list()).map(async (file) => [file, await source.read(file)] as const)); // prettier-ignore
      const config = JSON.parse(new TextDecoder().decode(await source.read('adapter_config.json'))) as object;
      const changed = new TextEncoder().encode(JSON.stringify({ ...config, revision }));
      return {
        folder: memorySource(name, { ...Object.fromEntries(entries), 'adapter_config.json': changed }),
        weight: 1,
      };
    };
    const { files, notices } = await combineAdapters([await at('one', 'abc'), await at('two', null)], { type: 'cat' });
    expect(new TextDecoder().decode(files[0]!.bytes)).toContain('"revision": "abc"');
    expect(notices).toEqual([
      expect.stringContaining('one names org/tiny@abc as its base and two org/tiny: the first'),
    ]);
  });

  it('but is of one model by name alone is said, and whose template is taken', async () => {
    const [one, two] = [ofUp(1), ofUp(3)].map((tensors, i) => writeAdapter(`a${i}`, {}, tensors));
    const template = new Uint8Array([0x61]);
    const named = async (source: typeof one, extra: Record<string, Uint8Array>, from: string, to: string) => {
      const files = await Promise.all((await source!.list()).map(async (name) => [name, await source!.read(name)] as const)); // prettier-ignore
      const text = new TextDecoder().decode(await source!.read('adapter_config.json')).replace(from, to);
      return memorySource(source!.name, {
        ...Object.fromEntries(files),
        'adapter_config.json': new TextEncoder().encode(text),
        ...extra,
      });
    };
    const adapters = [
      { folder: await named(one, { 'chat_template.jinja': template }, '', ''), weight: 1 },
      { folder: await named(two, {}, 'org/tiny', 'org/other'), weight: 1 },
    ];
    const { notices, files } = await combineAdapters(adapters, { type: 'cat' });
    expect(notices).toEqual([
      'a0 names org/tiny as its base and a1 org/other: the first is written down. That they are of one model is for you to know.',
      'chat_template.jinja is taken from a0: a1 has another, or none.',
    ]);
    expect(files.find(({ name }) => name === 'chat_template.jinja')?.bytes).toEqual(template);
    expect((await read(files)).baseModel).toBe('org/tiny');
  });
});
