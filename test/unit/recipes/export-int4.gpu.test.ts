/** Exports in 4 bits: no worse than rounding to nearest, read back as the model, and found out where they are not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elementCount, fromFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { adapterParameters, type LoraSpec } from '../../../src/core/spec';
import { decodeUtf8, encodeUtf8, type FileSource } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { wordsOf } from '../../../src/formats/int4/layouts';
import { IN_ORDER, packColumns, packRows, unpackColumns, unpackRows } from '../../../src/formats/int4/nibbles';
import { openModel, type HubModel } from '../../../src/formats/model';
import { adapterFiles } from '../../../src/formats/peft';
import { readHeader, writeSafetensors } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { exportInt4, type Int4Input, type Int4Options } from '../../../src/recipes/export-int4';
import { mergeModel, openShape } from '../../../src/recipes';
import { calibrationOf } from '../../../src/recipes/steps/calibration';
import { verifyExport } from '../../../src/recipes/verify';
import { folder } from '../../support/folder';
import { testGpu } from '../../support/gpu';
import { hasReference, reference } from '../../support/reference';
import { MemoryStore, tinyModel } from './support';

let engine: Engine;
beforeAll(async () => (engine = await openEngine((await testGpu()).gpu)));
afterAll(() => engine.destroy());

const silent = () => undefined;

/** One is enough where weights tell. */
const prompts = [{ kind: 'tokens', ids: [1, 7, 31, 20] }] as const;

interface Exported {
  readonly files: Record<string, Uint8Array>;
  readonly notices: readonly string[];
}

async function exported(
  model: HubModel,
  modelFiles: FileSource,
  options: Int4Options & Pick<Int4Input, 'calibration' | 'adapter' | 'shardBytes'>,
): Promise<Exported> {
  const store = new MemoryStore();
  const { files, notices } = await exportInt4({ model, modelFiles, engine, store, ...options }, silent);
  expect([...store.files.keys()].sort()).toEqual([...files].sort());
  return { files: Object.fromEntries(store.files), notices };
}

const opened = (files: Record<string, Uint8Array>) => openModel(memorySource('exported', files));

/** Sequences that are drawn at once, and their tokens. */
const [SLOTS, TOKENS] = [16, 96];

/** Texts as the model has them: it is the model that they are likeliest to. */
async function sampleRows(model: HubModel, rounds: number): Promise<number[][]> {
  const setup = { spec: model.spec, weightDType: 'f32' } as const;
  const views = { decode: { batchSize: SLOTS, maxLength: TOKENS } };
  const session = await engine.createSession(setup, views, model.weights());
  const { decode } = session.views;
  const random = new Random(1);
  const draw = (logits: Float32Array) => {
    const most = logits.reduce((a, b) => Math.max(a, b));
    const weights = logits.map((value) => Math.exp(value - most));
    let left = random.uniform() * weights.reduce((a, b) => a + b);
    return Math.max(
      0,
      weights.findIndex((weight) => (left -= weight) < 0),
    );
  };
  const sampled: number[][] = [];
  for (let round = 0; round < rounds; round++) {
    const made = Array.from({ length: SLOTS }, () => [1]);
    const next = new Map<number, number>();
    for (let slot = 0; slot < SLOTS; slot++) next.set(slot, draw(await decode.admit(slot, [1])));
    for (;;) {
      made.forEach((row, slot) => row.push(next.get(slot)!));
      if (made[0]!.length === TOKENS) break;
      (await decode.decode(next)).forEach((logits, slot) => next.set(slot, draw(logits)));
    }
    sampled.push(...made);
  }
  session.dispose();
  return sampled;
}

async function perplexity(model: HubModel, rows: readonly (readonly number[])[]): Promise<number> {
  const setup = { spec: model.spec, weightDType: 'f32' } as const;
  const views = { score: { batchSize: SLOTS, lengths: [TOKENS] } };
  const session = await engine.createSession(setup, views, model.weights());
  let [sum, count] = [0, 0];
  for (const scores of await session.views.score.run({ inputIds: rows, labels: rows })) {
    scores.forEach((score) => (sum -= score));
    count += scores.length - 1;
  }
  session.dispose();
  return Math.exp(sum / count);
}

describe.skipIf(!hasReference)('stories260K', () => {
  const path = hasReference ? reference('models/stories260K') : '';
  let model: HubModel;
  let calibration: Int4Input['calibration'];
  let held: number[][];
  beforeAll(async () => {
    model = await openModel(folder(path));
    const rows = await sampleRows(model, 2);
    calibration = calibrationOf(rows.slice(0, SLOTS), model.spec);
    held = rows.slice(SLOTS);
  });

  it.each([
    [{ method: 'gptq', groupSize: 64 }, 0.98],
    [{ method: 'gptq', groupSize: 64, actOrder: true, symmetric: false }, 1],
    [{ method: 'awq', groupSize: 64 }, 1],
  ] as const)(
    '%j on held-out rows is nearer than rounding to nearest, and passes its check',
    async (options, share) => {
      const source = folder(path);
      const { files, notices } = await exported(model, source, { ...options, calibration });
      // 172 columns don't divide by eight.
      expect(notices).toContainEqual(expect.stringMatching(/mlp\.down_proj \(172 columns\) can't be packed/));
      const made = await opened(files);
      // Though more of it is in f16 than packed.
      expect(made.weightDType).toBe('f32');
      const rounded = await opened((await exported(model, source, options)).files);
      const [own, nearest] = [await perplexity(made, held), await perplexity(rounded, held)];
      expect(own / nearest).toBeLessThan(share);
      const { findings } = await verifyExport({ model, engine, exported: made, prompts }, silent);
      expect(findings).toEqual([]);
    },
  );
});

/** A model whose linears all can be packed, and whose heads share nothing, with rows to calibrate by. */
describe('an export', () => {
  let source: FileSource;
  let model: HubModel;
  let calibration: Int4Input['calibration'];
  beforeAll(async () => {
    source = await tinyModel({ intermediate_size: 64, num_key_value_heads: 4, dtype: 'float32' });
    model = await openModel(source);
    const random = new Random(2);
    const rows = Array.from({ length: 12 }, () => Array.from({ length: 40 }, () => random.uint32() % 40));
    calibration = calibrationOf(rows, model.spec);
  });
  const make = (options: Int4Options, more: Partial<Int4Input> = {}) =>
    exported(model, source, { groupSize: 32, calibration, ...options, ...more });
  /** Rounded to nearest: where only the files count, nothing has to be calibrated. */
  const round = (options: Int4Options, more: Partial<Int4Input> = {}) =>
    make(options, { calibration: undefined, ...more });

  it('says what it is, as AutoGPTQ and AutoAWQ say it', async () => {
    const gptq = (await round({ method: 'gptq', actOrder: true })).files;
    const config = JSON.parse(decodeUtf8(gptq['config.json']!)) as Record<string, unknown>;
    expect(config).toMatchObject({
      dtype: 'float16',
      quantization_config: {
        ...{ quant_method: 'gptq', bits: 4, group_size: 32, desc_act: true, sym: true },
        ...{ checkpoint_format: 'gptq', true_sequential: true, damp_percent: 0.01, static_groups: false },
      },
    });
    expect(JSON.parse(decodeUtf8(gptq['quantize_config.json']!))).toEqual(config['quantization_config']);
    const awq = JSON.parse(decodeUtf8((await round({ method: 'awq' })).files['config.json']!)) as Record<
      string,
      unknown
    >;
    expect(awq['quantization_config']).toEqual({
      ...{ quant_method: 'awq', bits: 4, group_size: 32, version: 'gemm', zero_point: true },
      modules_to_not_convert: null,
    });
  });

  it('names what stays as it is', async () => {
    const odd = await tinyModel({ intermediate_size: 44 });
    const files = (await exported(await openModel(odd), odd, { method: 'gptq', groupSize: 32 })).files;
    const config = JSON.parse(decodeUtf8(files['config.json']!)) as Record<string, Record<string, unknown>>;
    expect(config['quantization_config']).toMatchObject({
      modules_in_block_to_quantize: [
        ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
        ['self_attn.o_proj'],
      ],
      dynamic: { '-:.*\\.mlp\\.gate_proj$': {}, '-:.*\\.mlp\\.up_proj$': {}, '-:.*\\.mlp\\.down_proj$': {} },
    });
  });

  it('in several files is the same', async () => {
    const whole = await opened((await round({ method: 'gptq' })).files);
    const { files } = await round({ method: 'gptq' }, { shardBytes: 6000 });
    expect(files['model.safetensors.index.json']).toBeDefined();
    expect(await bytesOf(await opened(files))).toEqual(await bytesOf(whole));
  });

  it('with an adapter is that of the merged model', async () => {
    const lora: LoraSpec = {
      ...{ r: 4, alpha: 8, dropout: 0, useRslora: false, useDora: false },
      targetModules: ['q_proj', 'down_proj'],
    };
    const random = new Random(5);
    const tensors = adapterParameters(model.spec, lora).map(({ name, shape }) => {
      const values = Float32Array.from({ length: elementCount(shape) }, () => 0.2 * random.normal());
      return { name, shape, dtype: 'f32' as const, bytes: fromFloat32(values, 'f32') };
    });
    const written = adapterFiles({ lora, baseModel: 'tiny', tensors });
    const adapter = memorySource('adapter', Object.fromEntries(written.map(({ name, bytes }) => [name, bytes])));
    const store = new MemoryStore();
    await mergeModel({ model, modelFiles: source, adapter, engine, store }, silent);
    const merged = memorySource('merged', Object.fromEntries(store.files));
    const own = await make({ method: 'gptq' }, { adapter });
    const ofMerged = await exported(await openModel(merged), merged, { method: 'gptq', groupSize: 32, calibration });
    expect(Buffer.from(own.files['model.safetensors']!).equals(ofMerged.files['model.safetensors']!)).toBe(true);
    const found = await verifyExport({ model, adapter, engine, exported: await opened(own.files), prompts }, silent);
    expect(found.findings).toEqual([]);
  });

  describe.each([{ method: 'gptq', symmetric: false }, { method: 'awq' }] as const)('by $method', (options) => {
    let files: Record<string, Uint8Array>;
    beforeAll(async () => void ({ files } = await make(options)));
    const check = async (faulty: Record<string, Uint8Array>) =>
      (await verifyExport({ model, engine, exported: await opened(faulty), prompts }, silent)).findings;

    it('passes its check', async () => {
      const made = await opened(files);
      expect([...new Set(made.types!.values())]).toEqual([options.method.toUpperCase()]);
      expect(await check(files)).toEqual([]);
      const planned = await openShape(memorySource('exported', files));
      expect(planned.weightDType).toBe(made.weightDType);
    });

    const linear = 'model.layers.1.self_attn.o_proj';
    const reversed = (words: Int32Array) =>
      words.map((word) =>
        Array.from({ length: 8 }, (_, k) => (word >>> (4 * k)) & 15).reduce((w, code) => (w << 4) | code, 0),
      );
    /** Columns of codes for rows; of 32 each. */
    const transposed = (words: Int32Array) => {
      const codes = unpackRows(words, 32);
      return packRows(
        codes.map((_, i) => codes[(i % 32) * 32 + Math.floor(i / 32)]!),
        32,
      );
    };
    it.each([
      [
        'nibbles in another order',
        `${linear}.qweight`,
        reversed,
        /^model\.layers\.1\.self_attn\.o_proj\.weight is .* off/,
      ],
      [
        'zero points that are one off',
        `${linear}.qzeros`,
        (words: Int32Array) => packColumns(unpackColumns(words, IN_ORDER), IN_ORDER, 1),
        /^All values of model\.layers\.1\.self_attn\.o_proj\.weight are .* its zero points are others/,
      ],
      ...(options.method === 'gptq'
        ? ([['a transposed tensor', `${linear}.qweight`, transposed, /o_proj\.weight is 1\d\d % off/]] as const)
        : []),
    ] as const)('is found out by %s', async (_, name, change, finding) => {
      const faulty = await withWords(files, name, change);
      expect((await check(faulty))[0]).toMatch(finding);
    });

    it('is refused where a tensor has another shape', async () => {
      const config = JSON.parse(decodeUtf8(files['config.json']!)) as { quantization_config: object };
      const other = { ...config, quantization_config: { ...config.quantization_config, group_size: 16 } };
      const damaged = { ...files, 'config.json': encodeUtf8(JSON.stringify(other)) };
      await expect(opened(damaged)).rejects.toThrow(
        /qzeros in exported is I32 \[1, 4\], but \[2, 4\] in I32 belongs to/,
      );
    });
  });

  it('by the second version of GPTQ is read too', async () => {
    const { files } = await round({ method: 'gptq', symmetric: false });
    const text = decodeUtf8(files['config.json']!).replace(
      '"checkpoint_format": "gptq"',
      '"checkpoint_format": "gptq_v2"',
    );
    let second: Record<string, Uint8Array> = { ...files, 'config.json': encodeUtf8(text) };
    for (const { name } of (await readHeader(memorySource('', files), 'model.safetensors')).tensors) {
      if (!name.endsWith('.qzeros')) continue;
      second = await withWords(second, name, (words) => words.map((word) => word + 0x11111111));
    }
    expect(await bytesOf(await opened(second))).toEqual(await bytesOf(await opened(files)));
  });

  it('with a bias that the model has not is read where that is 0, as AutoGPTQ once wrote it', async () => {
    const { 'model.safetensors': weights, ...files } = (await round({ method: 'gptq' })).files;
    const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const name = 'model.layers.0.self_attn.o_proj.bias';
    const { tensors } = await readHeader(memorySource('', { [first]: weights! }), first);
    const withBias = (value: number) => {
      const bytes = fromFloat32(new Float32Array(32).fill(value), 'f16');
      const map = [...tensors.map((tensor) => [tensor.name, first]), [name, second]];
      const index = { metadata: {}, weight_map: Object.fromEntries(map) as object };
      return opened({
        ...files,
        [first]: weights!,
        [second]: writeSafetensors([{ name, dtype: 'f16', shape: [32], bytes }]),
        'model.safetensors.index.json': encodeUtf8(JSON.stringify(index)),
      });
    };
    expect([...(await withBias(0)).dtypes.keys()]).not.toContain(name);
    await expect(withBias(0.5)).rejects.toThrow(/holds the tensor model\.layers\.0\.self_attn\.o_proj\.bias/);
  });
});

/** Fused projections, norms with an offset and after the halves, biases, windows: scales have to be taken back in each. */
describe.each([
  ['phi3', 'Phi3ForCausalLM', { pad_token_id: 0 }],
  ['gemma2', 'Gemma2ForCausalLM', { head_dim: 8, query_pre_attn_scalar: 8, sliding_window: 16 }],
  ['gemma3_text', 'Gemma3ForCausalLM', { head_dim: 8, query_pre_attn_scalar: 8, sliding_window: 16 }],
  ['qwen2', 'Qwen2ForCausalLM', {}],
  ['qwen3', 'Qwen3ForCausalLM', { head_dim: 8 }],
])('a model of %s', (model_type, architecture, more) => {
  it('by AWQ passes its check', async () => {
    const sizes = { intermediate_size: 64, num_key_value_heads: 4, ...more };
    const source = await tinyModel({ model_type, architectures: [architecture], ...sizes });
    const model = await openModel(source);
    const random = new Random(4);
    const rows = Array.from({ length: 8 }, () => Array.from({ length: 24 }, () => random.uint32() % 40));
    const calibration = calibrationOf(rows, model.spec);
    const { files } = await exported(model, source, { method: 'awq', groupSize: 32, calibration });
    const { findings, answers } = await verifyExport({ model, engine, exported: await opened(files), prompts }, silent);
    expect(findings).toEqual([]);
    // Random weights in 4 bits; one scale that isn't taken back gives more than the logits themselves.
    expect(answers!.logitError).toBeLessThan(0.4);
  });
});

/** Every weight, by name. */
async function bytesOf(model: HubModel): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for await (const { name, bytes } of model.weights()) found.set(name, Buffer.from(bytes.slice()));
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A folder's files with the words of one tensor changed. */
async function withWords(
  files: Record<string, Uint8Array>,
  name: string,
  change: (words: Int32Array) => Int32Array,
): Promise<Record<string, Uint8Array>> {
  const file = 'model.safetensors';
  const { tensors } = await readHeader(memorySource('', files), file);
  const { start, end } = tensors.find((tensor) => tensor.name === name)!;
  const bytes = files[file]!.slice();
  const words = change(wordsOf(bytes.slice(start, end)));
  bytes.set(new Uint8Array(words.buffer), start);
  return { ...files, [file]: bytes };
}
