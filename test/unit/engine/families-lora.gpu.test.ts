/**
 * LoRA on every linear of every family, base weights in f32 and in 4 bits. With W = W₀ + s·B·A the chain rule gives
 * dB = s · dW · Aᵀ and dA = s · Bᵀ · dW; dW is the gradient of full fine-tuning at the merged weights, which
 * golden.gpu.test.ts holds against Transformers.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elementCount, fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { canQuantize, dequantized } from '../../../src/core/quantization';
import { Random } from '../../../src/core/rng';
import { adapterParameters, allLinears, loraScaling, type LoraSpec } from '../../../src/core/spec';
import { wholeTensors, type WeightTensor } from '../../../src/core/weights';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { resolveTargetModules } from '../../../src/formats/peft';
import { matmul } from '../../reference/matmul';
import { quantize } from '../../reference/quantization';
import { relativeError } from '../../support/compare';
import { folder } from '../../support/folder';
import { familyGolden } from '../../support/golden';
import { testGpu } from '../../support/gpu';
import { hasReference, reference } from '../../support/reference';
import { openForward, type TrainOptions } from '../../support/sessions';

const FAMILIES = ['llama2', 'llama3', 'tinyllama', 'mistral', 'qwen2', 'qwen3', 'phi3', 'smollm3', 'gemma2', 'gemma3'];

async function* streamed(tensors: Iterable<WeightTensor>) {
  for (const tensor of tensors) yield await Promise.resolve(tensor);
}

describe.skipIf(!hasReference).each(FAMILIES)('%s', (name) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await testGpu()).gpu);
  });
  afterAll(() => engine.destroy());

  it.each(['f32', 'nf4'] as const)('an adapter on every linear, over weights in %s', async (stored) => {
    const path = reference('golden/families', name);
    const golden = await familyGolden(path);
    const model = await openModel(folder(path));
    const { spec } = model;
    const linears = allLinears(spec);
    const lora: LoraSpec = {
      r: 3,
      alpha: 5,
      dropout: 0,
      targetModules: resolveTargetModules('all-linear', spec),
      useRslora: false,
      useDora: false,
    };
    const scale = loraScaling(lora);
    const adapter = adapterParameters(spec, lora).map(({ name, shape }, stream): WeightTensor => {
      const random = new Random(23, stream);
      const values = Float32Array.from({ length: elementCount(shape) }, () => 0.1 * random.normal());
      return { name, shape, dtype: 'f32', bytes: fromFloat32(values, 'f32') };
    });
    const factors = new Map(adapter.map(({ name, bytes }) => [name, toFloat32(bytes, 'f32')]));
    const factor = (linear: string, which: 'A' | 'B') =>
      factors.get(`base_model.model.${linear}.lora_${which}.weight`)!;

    const base = new Map<string, WeightTensor>();
    for await (const tensor of wholeTensors(model.weights())) base.set(tensor.name, tensor);
    const merged = new Map(base);
    for (const { name, outFeatures, inFeatures } of linears) {
      const tensor = base.get(`${name}.weight`)!;
      const shape = [outFeatures, inFeatures] as const;
      const exact = toFloat32(tensor.bytes, 'f32');
      const kept =
        stored === 'nf4' && canQuantize(shape) ? dequantized(quantize(exact, 'nf4', shape), 'nf4', shape) : exact;
      const sizes = { m: outFeatures, n: inFeatures, k: lora.r, alpha: scale };
      const sum = matmul(factor(name, 'B'), factor(name, 'A'), sizes, kept);
      merged.set(tensor.name, { ...tensor, bytes: fromFloat32(Float32Array.from(sum), 'f32') });
    }

    const batch = { inputIds: golden.ids, labels: golden.labels };
    const options: TrainOptions = {
      spec,
      weightDType: 'f32',
      seed: 0,
      batchSize: golden.ids.length,
      lengths: [golden.ids[0]!.length],
      gradientCheckpointing: true,
      adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
      maxGradNorm: 0,
    };
    const full = await openForward(engine, options, streamed(merged.values()));
    const expected = await full.forward(batch);
    full.dispose();
    const quantization = stored === 'nf4' ? { linears: stored } : {};
    const adapted = await openForward(engine, { ...options, lora, quantization }, streamed(base.values()));
    expect(adapted.liveBytes).toEqual(adapted.plan);
    await adapted.importParameters(adapter);
    const actual = await adapted.forward(batch);
    adapted.dispose();

    expect(relativeError(actual.logits, expected.logits)).toBeLessThan(2e-5);
    const byName = (tensors: readonly WeightTensor[]) =>
      new Map(tensors.map(({ name, bytes }) => [name, toFloat32(bytes, 'f32')]));
    const dWeights = byName(expected.gradients!);
    const dFactors = byName(actual.gradients!);
    expect(dFactors.size).toBe(2 * linears.length);
    for (const { name, outFeatures: out, inFeatures } of linears) {
      const dWeight = dWeights.get(`${name}.weight`)!;
      const dB = matmul(dWeight, factor(name, 'A'), {
        m: out,
        n: lora.r,
        k: inFeatures,
        transposeB: true,
        alpha: scale,
      });
      const dA = matmul(factor(name, 'B'), dWeight, {
        m: lora.r,
        n: inFeatures,
        k: out,
        transposeA: true,
        alpha: scale,
      });
      const prefix = `base_model.model.${name}`;
      expect.soft(relativeError(dFactors.get(`${prefix}.lora_A.weight`)!, dA), `${name} A`).toBeLessThan(1e-4);
      expect.soft(relativeError(dFactors.get(`${prefix}.lora_B.weight`)!, dB), `${name} B`).toBeLessThan(1e-4);
    }
  });
});
