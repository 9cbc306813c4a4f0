/** Options of the families that the reference's tiny models leave alone, against Transformers and PEFT. */
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { parameters, targetedLinears, type DecoderSpec, type LoraSpec } from '../../../src/core/spec';
import type { WeightStream } from '../../../src/core/weights';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel, type HubModel } from '../../../src/formats/model';
import { checkAdapter, readAdapter, resolveTargetModules } from '../../../src/formats/peft';
import { relativeError } from '../../support/compare';
import { folder, type GoldenTensor } from '../../support/folder';
import { familyGolden, named } from '../../support/golden';
import { testGpu } from '../../support/gpu';
import { greedy } from '../../support/greedy';
import { openDecoding, openForward, type TrainOptions, type ForwardSession } from '../../support/sessions';

const GOLDEN = resolve(import.meta.dirname, '../../golden/families');
const NAMES = readdirSync(GOLDEN);
const LENGTH = 24;

const norm = (values: ArrayLike<number>) => Math.hypot(...Array.from(values));

const COMMON: Omit<TrainOptions, 'spec'> = {
  weightDType: 'f32',
  seed: 0,
  batchSize: 2,
  lengths: [LENGTH / 2, LENGTH],
  gradientCheckpointing: false,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  maxGradNorm: 0,
};

const CHECKPOINTING: readonly Partial<TrainOptions>[] = [
  { gradientCheckpointing: false },
  { gradientCheckpointing: true },
  { gradientCheckpointing: true, checkpointing: { layersPerSegment: 2, mlpRows: 17 } },
];

async function* only(weights: WeightStream, names: ReadonlySet<string>): WeightStream {
  for await (const slice of weights) if (names.has(slice.name)) yield slice;
}

/** What each model has beyond Llama, and its spec without it. */
function optionsOf(name: string): [string, (spec: DecoderSpec) => DecoderSpec][] {
  const rope = (spec: DecoderSpec): DecoderSpec => ({ ...spec, rope: { type: 'default', theta: spec.rope.theta } });
  const windows = (spec: DecoderSpec): DecoderSpec => ({
    ...spec,
    layers: spec.layers!.map((layer) => ({ rope: layer.rope })),
  });
  const without =
    (...fields: (keyof DecoderSpec)[]) =>
    (spec: DecoderSpec): DecoderSpec => ({ ...spec, ...Object.fromEntries(fields.map((field) => [field, undefined])) });
  const gemma: ReturnType<typeof optionsOf> = [
    ['windows', windows],
    ['GELU', without('activation')],
    ['the norms after', without('sandwichNorms')],
    ['the offset of norms', without('normOffset')],
    ['scaled embeddings', without('embeddingScale')],
    ['its own scale of scores', without('attentionScale')],
    ['capped logits', without('logitSoftcap')],
  ];
  const options: Record<string, ReturnType<typeof optionsOf>> = {
    llama_linear: [
      ['scaled positions', rope],
      ['biases', (spec) => ({ ...spec, attentionBias: false, mlpBias: false })],
    ],
    mistral_window: [['windows', windows]],
    qwen2_window: [
      ['windows', windows],
      ['biases', (spec) => ({ ...spec, attentionBias: false })],
    ],
    qwen3_bias: [
      ['windows', windows],
      ['norms of heads', without('queryKeyNorms')],
    ],
    phi3_longrope: [
      ['windows', windows],
      ['LongRoPE', (spec) => ({ ...spec, rope: { ...spec.rope, type: 'default' } })],
      ['passing channels on', rope],
    ],
    smollm3_window: [
      ['windows', windows],
      ['layers without rotation', (spec) => ({ ...spec, layers: spec.layers!.map((l) => ({ ...l, rope: 'global' })) })],
    ],
    gemma2_caps: [...gemma, ['capped scores', without('attentionSoftcap')]],
    gemma3_linear: [
      ...gemma,
      ['scaled positions', rope],
      ['norms of heads', without('queryKeyNorms')],
      ['local positions', (spec) => ({ ...spec, localRope: spec.rope })],
    ],
  };
  return options[name] ?? [];
}

describe.each(NAMES)('%s', (name) => {
  const path = resolve(GOLDEN, name);
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await testGpu()).gpu);
  });
  afterAll(() => engine.destroy());

  function trainSession(model: HubModel, options: Partial<TrainOptions>): Promise<ForwardSession> {
    return openForward(engine, { ...COMMON, spec: model.spec, ...options }, model.weights());
  }

  /** Holds logits and every gradient of a session against the golden's. */
  async function check(
    session: ForwardSession,
    batch: { inputIds: number[][]; labels: number[][] },
    logits: GoldenTensor,
    gradients: ReadonlyMap<string, GoldenTensor>,
  ): Promise<void> {
    const result = await session.forward(batch);
    expect(session.liveBytes).toEqual(session.plan);
    expect(relativeError(result.logits, logits.values)).toBeLessThan(2e-5);
    const actual = new Map(result.gradients!.map(({ name, bytes }) => [name, toFloat32(bytes, 'f32')]));
    expect([...gradients.keys()].toSorted()).toEqual([...actual.keys()].toSorted());
    const total = norm([...gradients.values()].map(({ values }) => norm(values)));
    for (const [parameter, { values }] of gradients) {
      // A bias on keys that aren't rotated moves all scores of a query alike: its gradient is rounding error.
      const nothing = norm(values) < 1e-6 * total;
      const error = nothing ? norm(actual.get(parameter)!) / total : relativeError(actual.get(parameter)!, values);
      expect.soft(error, parameter).toBeLessThan(nothing ? 1e-6 : 1e-4);
    }
  }

  it('logits and the gradient of every parameter, sequences long and short', async () => {
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    for (const options of CHECKPOINTING) {
      const session = await trainSession(model, options);
      const batch = { inputIds: golden.ids, labels: golden.labels };
      await check(session, batch, golden.tensors.get('logits')!, golden.gradients);
      const start = (ids: number[][]) => ids.map((row) => row.slice(0, LENGTH / 2));
      const short = await session.forward({ inputIds: start(golden.ids), labels: start(golden.labels) });
      expect(relativeError(short.logits, golden.tensors.get('short.logits')!.values)).toBeLessThan(2e-5);
      await check(session, batch, golden.tensors.get('logits')!, golden.gradients);
      session.dispose();
    }
  });

  it('packed documents answer as they do alone', async () => {
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    const session = await trainSession(model, { batchSize: 1, lengths: [LENGTH], packing: true });
    const halves = golden.ids.map((row) => row.slice(0, LENGTH / 2));
    const packed = { inputIds: [halves.flat()], labels: [halves.flat()], documents: [[LENGTH / 2, LENGTH / 2]] };
    const { logits } = await session.forward(packed);
    session.dispose();
    expect(relativeError(logits, golden.tensors.get('short.logits')!.values)).toBeLessThan(2e-5);
  });

  it("an adapter on every linear, PEFT's", async () => {
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    const adapter = await readAdapter(folder(resolve(path, 'adapter')));
    checkAdapter(name, adapter, model.spec);
    const all: LoraSpec = { ...adapter.lora!, targetModules: resolveTargetModules('all-linear', model.spec) };
    expect(targetedLinears(model.spec, adapter.lora!)).toEqual(targetedLinears(model.spec, all));
    const session = await trainSession(model, { lora: adapter.lora, gradientCheckpointing: true });
    await session.importParameters(adapter.tensors);
    await check(
      session,
      { inputIds: golden.ids, labels: golden.labels },
      golden.tensors.get('adapter.logits')!,
      named(golden.tensors, 'adapter.grad.'),
    );
    session.dispose();
    const merged = engine.mergeAdapter(model.spec, adapter.lora!, adapter.tensors, model.weights());
    const whole = await trainSession({ ...model, weights: () => merged }, {});
    const { logits } = await whole.forward({ inputIds: golden.ids, labels: golden.labels });
    whole.dispose();
    expect(relativeError(logits, golden.tensors.get('adapter.logits')!.values)).toBeLessThan(2e-5);
  });

  it.each(optionsOf(name))('would answer otherwise without %s', async (option, plain) => {
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    const spec = plain(model.spec);
    const known = new Set(parameters(spec).map((parameter) => parameter.name));
    const session = await trainSession({ ...model, spec, weights: () => only(model.weights(), known) }, {});
    const { logits } = await session.forward({ inputIds: golden.ids, labels: golden.labels });
    session.dispose();
    expect(relativeError(logits, golden.tensors.get('logits')!.values), option).toBeGreaterThan(1e-3);
  });

  it('continues greedily as Transformers does, past windows and the original length', async () => {
    const { prompt, continuation } = await familyGolden(path);
    const { spec, ...model } = await openModel(folder(path));
    const maxLength = prompt.length + continuation.length;
    const session = await openDecoding(engine, { spec, weightDType: 'f32', batchSize: 2, maxLength }, model.weights());
    const [first, second] = await greedy(session, [prompt, prompt], continuation.length, spec.vocabSize);
    expect(first).toEqual(continuation);
    expect(second).toEqual(continuation);
    expect(session.liveBytes).toEqual(session.plan);
    session.dispose();
  });
});

describe('embeddings', () => {
  it('are scaled by what the type of the weights makes of the scale', async () => {
    const path = resolve(GOLDEN, 'gemma2_caps');
    const model = await openModel(folder(path));
    const rounded = await openModel(folder(path));
    const { ids, labels } = await familyGolden(path);
    const engine = await openEngine((await testGpu()).gpu);
    /** √24 is 4.899; in bf16 it is 4.90625. */
    const exact = { ...rounded.spec, embeddingScale: 4.90625 };
    async function* inBf16(): WeightStream {
      for await (const slice of rounded.weights()) {
        const values = toFloat32(slice.bytes, 'f32');
        const bytes =
          slice.shape.length === 1 ? slice.bytes : fromFloat32(toFloat32(fromFloat32(values, 'bf16'), 'bf16'), 'f32');
        yield { ...slice, bytes };
      }
    }
    const logits = [];
    for (const [spec, weightDType, weights] of [
      [model.spec, 'bf16', model.weights()],
      [exact, 'f32', inBf16()],
    ] as const) {
      const lora: LoraSpec = {
        r: 1,
        alpha: 1,
        dropout: 0,
        targetModules: ['q_proj'],
        useRslora: false,
        useDora: false,
      };
      const session = await openForward(engine, { ...COMMON, spec, weightDType, lora, lengths: [LENGTH] }, weights);
      logits.push((await session.forward({ inputIds: ids, labels })).logits);
      session.dispose();
    }
    engine.destroy();
    expect(model.spec.embeddingScale).toBe(Math.sqrt(24));
    expect(relativeError(logits[0]!, logits[1]!)).toBeLessThan(1e-5);
  });
});
