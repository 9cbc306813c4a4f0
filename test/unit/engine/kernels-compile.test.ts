/** Every kernel compiles without a GPU, in every specialisation that ops and sessions lower to (Dawn's null backend). */
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { layerLinears, type DecoderSpec, type LoraSpec } from '../../../src/core/spec';
import { kernelSource, pipelineKey, type Kernel, type KernelCapabilities } from '../../../src/engine/graph/kernel';
import type { ProgramsPlan } from '../../../src/engine/compile/plan';
import { openRunner, runGraph } from '../../support/graph-runner';
import { nullGpu } from '../../support/gpu';
import { buildCase, caseInputs, caseKernels, opCases, withVariants } from './cases';
import { attentionCase } from './cases/attention';
import { planDecodeSession, planTrainSession } from '../../support/sessions';

const SHADERS = resolve(import.meta.dirname, '../../../shaders');
const WEIGHT_TYPES = ['f32', 'f16', 'bf16'] as const;
const QUANTIZATIONS = [{ linears: 'nf4' }, { linears: 'nf4_nested', embeddings: 'q8' }] as const;

/** What a kernel may use; software adapters get kernels of their own. */
const FEATURES = [
  { subgroups: false, f16: false },
  { subgroups: true, f16: false },
  { subgroups: false, f16: true },
  { subgroups: true, f16: true },
  { subgroups: true, octets: true, f16: false },
];

const gpu = nullGpu();

const spec: DecoderSpec = {
  family: 'llama',
  vocabSize: 40,
  hiddenSize: 24,
  intermediateSize: 36,
  numLayers: 1,
  numHeads: 3,
  numKeyValueHeads: 1,
  headDim: 8,
  rmsNormEps: 1e-5,
  maxPositions: 64,
  tieWordEmbeddings: false,
  attentionBias: true,
  mlpBias: true,
  rope: { type: 'default', theta: 10000 },
};

const lora: LoraSpec = {
  r: 3,
  alpha: 6,
  dropout: 0.1,
  targetModules: layerLinears(spec, 0).map(({ name }) => name.slice(name.lastIndexOf('.') + 1)),
  useRslora: false,
  useDora: true,
  modulesToSave: ['embed_tokens', 'lm_head'],
};

const programKernels = (plan: { programs: ProgramsPlan }) =>
  plan.programs.programs.flatMap((program) => program.kernels);

/** What training and decoding of a model lower to, with and without an adapter. */
function sessionKernels(capabilities: KernelCapabilities): Kernel[] {
  const train = {
    spec,
    seed: 0,
    batchSize: 2,
    lengths: [7],
    gradientCheckpointing: false,
    adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 },
    maxGradNorm: 1,
  };
  const ofTokens = { ...lora, modulesToSave: [], trainableTokens: { embed_tokens: [3, 5], lm_head: [5] } };
  const withoutDora = { ...lora, useDora: false };
  const adapters = [lora, withoutDora, { ...withoutDora, r: 4 }, ofTokens];
  const decode = { spec, batchSize: 2, maxLength: 33 };
  return [
    ...programKernels(planTrainSession({ ...train, weightDType: 'f32' }, capabilities)),
    ...WEIGHT_TYPES.flatMap((weightDType) => [
      ...QUANTIZATIONS.flatMap((quantization) => [
        ...programKernels(planTrainSession({ ...train, weightDType, lora, quantization }, capabilities)),
        ...programKernels(planDecodeSession({ ...decode, weightDType, lora, quantization }, capabilities)),
      ]),
      ...adapters.flatMap((lora) => programKernels(planTrainSession({ ...train, weightDType, lora }, capabilities))),
      ...programKernels(planDecodeSession({ ...decode, weightDType, lora }, capabilities)),
    ]),
  ];
}

/** Attention at every head size from 8 to 256, of rows as in training and of one as in decoding. */
const headSizes = [5, 1].flatMap((length) =>
  Array.from({ length: 63 }, (_, i) => attentionCase(1, length, { heads: 1, kvHeads: 1, headDim: 8 + 4 * i })),
);

/** Complaints of the compiler and of pipeline creation; empty for a sound kernel. */
async function complaints(device: GPUDevice, kernel: Kernel): Promise<string[]> {
  const code = kernelSource(kernel);
  const module = device.createShaderModule({ code, label: kernel.shader.name });
  const { messages } = await module.getCompilationInfo();
  const compute = { module, entryPoint: 'main', constants: { ...kernel.constants } };
  const refused = await device.createComputePipelineAsync({ layout: 'auto', compute }).then(
    () => [],
    (error: unknown) => [String(error)],
  );
  return [...messages.map(({ message, lineNum }) => `line ${lineNum}: ${message}`), ...refused];
}

function allKernels(features: (typeof FEATURES)[number]): Kernel[] {
  return [false, true].flatMap((software) => {
    const capabilities = { ...features, software };
    return [
      ...sessionKernels(capabilities),
      ...[...opCases, ...headSizes].flatMap((opCase) => caseKernels(opCase, capabilities)),
    ].flatMap(withVariants);
  });
}

describe.each(FEATURES)('with subgroups $subgroups (of eight: $octets) and shader-f16 $f16', (features) => {
  it('compiles every specialisation', async () => {
    const adapter = await gpu.requestAdapter();
    // Only the features that the kernels may use, and the default limits that every adapter has.
    const requiredFeatures: GPUFeatureName[] = [];
    if (features.subgroups) requiredFeatures.push('subgroups');
    if (features.f16) requiredFeatures.push('shader-f16');
    const device = await adapter!.requestDevice({ requiredFeatures });
    const distinct = new Map(allKernels(features).map((kernel) => [pipelineKey(kernel), kernel]));
    const failed: Record<string, string[]> = {};
    for (const [key, kernel] of distinct) {
      const found = await complaints(device, kernel);
      if (found.length > 0) failed[key] = found;
    }
    device.destroy();
    expect(failed).toEqual({});
    expect(distinct.size).toBeGreaterThan(300);
  });

  it.each([false, true])('binds every op without a validation error, software adapter %s', async (software) => {
    const withoutFeatures = [...(features.subgroups ? [] : ['subgroups']), ...(features.f16 ? [] : ['shader-f16'])];
    const runner = await openRunner(gpu, { withoutFeatures, software });
    for (const opCase of opCases) {
      await runGraph(runner, caseInputs(opCase), (graph, leaves) => buildCase(opCase, graph, leaves));
    }
    runner.device.destroy();
  });
});

it('covers every file in shaders/, under one name each', () => {
  const shaders = FEATURES.flatMap(allKernels).flatMap((kernel) => [kernel.shader, ...(kernel.modules ?? [])]);
  const codes = new Map(shaders.map(({ name, code }) => [name, code]));
  expect(shaders.filter(({ name, code }) => codes.get(name) !== code)).toEqual([]);
  const used = new Set(codes.values());
  const files = readdirSync(SHADERS, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.wgsl'));
  expect(files.filter((file) => !used.has(readFileSync(resolve(SHADERS, file), 'utf8')))).toEqual([]);
  expect(files).toHaveLength(used.size);
});
