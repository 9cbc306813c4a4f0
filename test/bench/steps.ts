/** Whole steps of models with random weights: training, decoding, loading, memory, and what is no product. */
import { elementCount, fromFloat32, type QuantizedDType } from '../../src/core/dtypes';
import { byKernel } from '../../src/core/profile';
import { parameters, type DecoderSpec } from '../../src/core/spec';
import type { WeightStream, WeightTensor } from '../../src/core/weights';
import { openEngine, type Batch, type Engine } from '../../src/engine';
import { relativeError } from '../support/compare';
import { medianOf, timed, type Bench, type Ceilings } from './bench';
import { affordable } from './kernels/types';
import { LLAMA_1B, LORA, MODELS, type BenchModel } from './models';
import { peftRows } from './peers/peft';
import { normal, weight } from './values';
import { openDecoding, openTraining, type TrainOptions } from '../support/sessions';

/** How much of a model is run. */
export interface StepSize {
  readonly layers: number;
  readonly vocabulary: number;
  /** All of them where absent. */
  readonly models?: readonly BenchModel[];
}

const TOKENS = [32, 64, 128, 256, 512, 1024, 2048];

/** A step may take that many times what a run of a kernel may. */
const STEP_RUNS = 8;

const PROMPT = 16;
const DECODED = 8;
const TYPES: readonly (QuantizedDType | undefined)[] = [undefined, 'nf4'];

/** Part of a layer step's time that may be something else than a product of matrices. */
const NON_MATMUL_TARGET = 0.35;

export async function stepBenches(bench: Bench, ceilings: Ceilings, size: StepSize): Promise<void> {
  const wanted = (names: object) => bench.wanted({ group: 'step', ...names });
  const engine = await openEngine(bench.gpu, { ...(bench.kernelChoices && { kernelChoices: bench.kernelChoices }) });
  try {
    for (const tokens of [256, 512]) {
      const names = { name: 'not matmul', model: LLAMA_1B.name, dtype: 'bf16', shape: `1 layer, T ${tokens}` };
      if (wanted(names)) await nonMatmulShare(bench, engine, names, tokens);
    }
    for (const model of size.models ?? MODELS) {
      const spec = cut(model.spec, size);
      const tokens = affordable(TOKENS, (count) => count * flopsPerToken(spec), STEP_RUNS * ceilings.matmul);
      const shape = sizeName(model, spec, tokens);
      const sizes = { model: model.name, shape, layers: spec.numLayers, vocabulary: spec.vocabSize, tokens };
      if (bench.wanted({ group: 'peer', name: 'train PEFT', model: model.name, shape })) peftRows(bench, sizes);
      for (const quantized of TYPES) {
        const names = { model: model.name, dtype: quantized ?? 'bf16', shape };
        if (wanted({ name: 'train load memory', ...names }))
          await trainBench(bench, engine, names, spec, tokens, quantized);
        if (wanted({ name: 'decode', ...names })) await decodeBench(bench, engine, names, spec, quantized);
      }
    }
  } finally {
    engine.destroy();
  }
}

/** Forward, forward again for the checkpoint, and input gradients, each a multiply-add a weight. */
function flopsPerToken(spec: DecoderSpec): number {
  return 3 * 2 * parameters(spec).reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

function cut(spec: DecoderSpec, { layers, vocabulary }: StepSize): DecoderSpec {
  return {
    ...spec,
    numLayers: Math.min(layers, spec.numLayers),
    vocabSize: Math.min(vocabulary, spec.vocabSize),
  };
}

function sizeName({ spec: whole }: BenchModel, spec: DecoderSpec, tokens: number): string {
  const vocabulary = spec.vocabSize < whole.vocabSize ? `, V ${spec.vocabSize}` : '';
  return `${spec.numLayers}/${whole.numLayers} layers${vocabulary}, T ${tokens}`;
}

type Names = { readonly model: string; readonly dtype: string; readonly shape: string };

function* generated(spec: DecoderSpec): Generator<WeightTensor> {
  for (const { name, shape } of parameters(spec)) {
    const input = shape.length === 1 ? normal(shape) : weight(shape, 'bf16');
    const values = shape.length === 1 ? Float32Array.from(input.values, (value) => 1 + 0.1 * value) : input.values;
    yield { name, shape, dtype: 'bf16', bytes: fromFloat32(values as Float32Array, 'bf16') };
  }
}

async function* stream(tensors: Iterable<WeightTensor>): WeightStream {
  for (const tensor of tensors) yield await Promise.resolve(tensor);
}

function trainOptions(spec: DecoderSpec, tokens: number, quantized?: QuantizedDType): TrainOptions {
  return {
    spec,
    weightDType: 'bf16',
    quantization: quantized && { linears: quantized },
    lora: LORA,
    seed: 1,
    batchSize: 1,
    lengths: [tokens],
    gradientCheckpointing: true,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 1,
  };
}

function batchOf(spec: DecoderSpec, tokens: number): Batch {
  const ids = Array.from({ length: tokens }, (_, i) => (i * 7919 + 13) % spec.vocabSize);
  return { inputIds: [ids], labels: [ids] };
}

async function trainBench(
  bench: Bench,
  engine: Engine,
  names: Names,
  spec: DecoderSpec,
  tokens: number,
  quantized?: QuantizedDType,
): Promise<void> {
  const tensors = [...generated(spec)];
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0);
  const began = bench.now();
  const session = await openTraining(engine, trainOptions(spec, tokens, quantized), stream(tensors));
  try {
    const batch = batchOf(spec, tokens);
    const before = await session.evaluate(batch); // waits for the upload
    const loadMs = bench.now() - began;
    const row = { group: 'step', ...names };
    bench.add({
      ...row,
      name: 'load',
      value: loadMs / 1000,
      unit: 's',
      note: `${mib(bytes)} MiB of bf16, and one evaluation`,
    });

    const first = await session.step([batch], 0, 1e-3);
    const error = Math.abs(first.loss - before.lossSum / before.count) / first.loss;
    if (!(error < 1e-4)) throw new Error(`${names.model}: a step's loss and the evaluation's differ by ${error}`);
    let step = 1;
    const milliseconds = await timed(bench, () => session.step([batch], step++, 1e-3));
    const after = await session.evaluate(batch);
    if (!(after.lossSum < before.lossSum)) throw new Error(`${names.model}: ${step} steps did not lower the loss`);
    const value = (1000 * tokens) / milliseconds;
    bench.add({ ...row, name: 'train', value, unit: 'tokens/s', milliseconds, error, note: 'LoRA r 16, checkpointed' });

    const planned = session.plan.totalBytes;
    const live = session.liveBytes.totalBytes;
    if (live > planned) throw new Error(`${names.model}: ${live} bytes are live and ${planned} were planned`);
    bench.add({
      ...row,
      name: 'memory',
      value: planned / 2 ** 20,
      unit: 'MiB',
      note: `planned; live ${mib(live)} MiB`,
    });
  } finally {
    session.dispose();
  }
}

async function decodeBench(
  bench: Bench,
  engine: Engine,
  names: Names,
  spec: DecoderSpec,
  quantized?: QuantizedDType,
): Promise<void> {
  const options = {
    spec,
    weightDType: 'bf16',
    quantization: quantized && { linears: quantized },
    batchSize: 1,
    maxLength: 256,
  } as const;
  const session = await openDecoding(engine, options, stream(generated(spec)));
  try {
    const prompt = batchOf(spec, PROMPT + 1).inputIds[0]!;
    const whole = (await session.prefill([prompt])).slice();
    await session.prefill([prompt.slice(0, PROMPT)]);
    const error = relativeError(await session.next([prompt[PROMPT]!]), whole);
    if (!(error < 1e-3)) throw new Error(`${names.model}: decoding a token and reading it differ by ${error}`);
    const milliseconds = await medianOf(async () => {
      await session.prefill([prompt]);
      const began = bench.now();
      for (let i = 0; i < DECODED; i++) await session.next([i]);
      return (bench.now() - began) / DECODED;
    });
    bench.add({
      group: 'step',
      ...names,
      name: 'decode',
      value: 1000 / milliseconds,
      unit: 'tokens/s',
      milliseconds,
      error,
    });
  } finally {
    session.dispose();
  }
}

async function nonMatmulShare(
  bench: Bench,
  engine: Engine,
  names: Names & { name: string },
  tokens: number,
): Promise<void> {
  // A vocabulary so small that head and loss hardly count: what is left is the layer.
  const spec = { ...LLAMA_1B.spec, numLayers: 1, vocabSize: 256 };
  const session = await openTraining(engine, trainOptions(spec, tokens), stream(generated(spec)));
  try {
    const batch = batchOf(spec, tokens);
    for (let step = 0; step < 2; step++) await session.step([batch], step, 1e-4);
    const { profile } = await engine.profile(() => session.step([batch], 2, 1e-4), bench.kernelClock);
    const others = byKernel(profile).filter(({ kernel }) => !/^(cpu\/)?mat(mul|vec)/.test(kernel));
    const share = others.reduce((sum, time) => sum + time.share, 0);
    bench.add({
      group: 'step',
      ...names,
      value: 100 * share,
      unit: '%',
      milliseconds: profile.milliseconds,
      target: `≤ ${100 * NON_MATMUL_TARGET} %`,
      note: others
        .slice(0, 6)
        .map(({ kernel, share: part }) => `${kernel} ${(100 * part).toFixed(1)} %`)
        .join(', '),
    });
  } finally {
    session.dispose();
  }
}

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
