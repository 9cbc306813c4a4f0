/** What a training step asks of the device: dispatches, and its loss back. */
import { expect, it } from 'vitest';
import { openEngine, type Batch } from '../../../src/engine';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { testGpu } from '../../support/gpu';
import { randomWeights } from '../../support/random-weights';
import { wrapGpu } from '../../support/wrapped-gpu';
import { openTraining } from '../../support/sessions';

/** Everything that makes something on the device, or waits for it. */
const MAKES = ['createBuffer', 'createShaderModule', 'createComputePipelineAsync', 'createBindGroup'] as const;

const { gpu } = await testGpu();

/** Counts calls of a device's methods by name, and its buffers' read-backs as `mapAsync`. */
function countCalls(device: GPUDevice, calls: Map<string, number>): void {
  const count = (name: string) => calls.set(name, (calls.get(name) ?? 0) + 1);
  for (const name of MAKES) {
    const method = device[name].bind(device) as (...args: unknown[]) => unknown;
    Object.assign(device, {
      [name]: (...args: unknown[]) => {
        count(name);
        const made = method(...args);
        if (name === 'createBuffer') countReads(made as GPUBuffer, () => count('mapAsync'));
        return made;
      },
    });
  }
}

function countReads(buffer: GPUBuffer, count: () => void): void {
  const mapAsync = buffer.mapAsync.bind(buffer);
  buffer.mapAsync = (...range) => {
    count();
    return mapAsync(...range);
  };
}

function batch(...lengths: number[]): Batch {
  const inputIds = lengths.map((length) => Array.from({ length }, (_, i) => (5 * i + length) % tinySpec.vocabSize));
  return { inputIds, labels: inputIds };
}

it('a step makes nothing on the device and reads back once; so does an evaluation', async () => {
  const calls = new Map<string, number>();
  const engine = await openEngine(wrapGpu(gpu, { onDevice: (device) => countCalls(device, calls) }));
  const session = await openTraining(
    engine,
    {
      spec: tinySpec,
      weightDType: 'f32',
      lora: tinyLora,
      seed: 1,
      batchSize: 2,
      lengths: [8, 16],
      gradientCheckpointing: true,
      adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
      maxGradNorm: 1,
    },
    randomWeights(tinySpec),
  );
  const compiled: (readonly [number, number])[] = [];
  await session.compile((kernels, totalKernels) => compiled.push([kernels, totalKernels]));
  const total = compiled[0]![1];
  expect(total).toBeGreaterThan(10);
  expect(compiled).toEqual(Array.from({ length: total + 1 }, (_, kernels) => [kernels, total]));
  expect([...calls.keys()].sort()).toEqual([...MAKES].sort());
  calls.clear();
  const STEPS = 10;
  for (let step = 0; step < STEPS; step++) {
    // Both lengths, in one step and in different ones.
    await session.step([batch(5, 7), batch(step % 2 === 0 ? 15 : 3, 2)], step, 1e-3);
  }
  expect([...calls]).toEqual([['mapAsync', STEPS]]);
  calls.clear();
  for (const rows of [batch(4, 4), batch(16)]) await session.evaluate(rows);
  expect([...calls]).toEqual([['mapAsync', 2]]);
  expect(session.liveBytes).toEqual(session.plan);
  session.dispose();
  engine.destroy();
});
