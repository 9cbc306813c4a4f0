/** What a chat with a run in training costs, by the plan: the cache, and what its programs need beyond training's. */
import { describe, expect, it } from 'vitest';
import { planSession } from '../../../src/engine/session/plan-session';
import type { ModelSetup, TrainViewOptions } from '../../../src/engine';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { tinyLora, tinySpec } from '../../support/decoder-spec';

const setup: ModelSetup = { spec: tinySpec, weightDType: 'bf16', lora: tinyLora };
const train: TrainViewOptions = {
  seed: 3,
  batchSize: 4,
  lengths: [32, 64],
  gradientCheckpointing: false,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  maxGradNorm: 1,
};

describe('a decode view beside training', () => {
  it.each([
    { batchSize: 1, maxLength: 64 },
    { batchSize: 3, maxLength: 50 },
  ])('of %o adds its cache, its inputs and its programs, and shares all slots', (decode) => {
    const alone = planSession(setup, { train }, PLAIN);
    const both = planSession(setup, { train, decode }, PLAIN);
    const { numLayers, numKeyValueHeads, headDim, vocabSize } = tinySpec;
    const { batchSize, maxLength } = decode;
    const cache = 4 * 2 * numLayers * batchSize * maxLength * numKeyValueHeads * headDim;
    // Where each sequence begins and ends, the last row of a prompt, and the slot of each of its rows, in whole vectors.
    const words = [batchSize, batchSize, 1, maxLength];
    const inputs = words.reduce((sum, count) => sum + 16 * Math.ceil(count / 4), 0);
    const uniforms = both.programs.uniformBytes - alone.programs.uniformBytes;
    const readback = Math.max(0, 4 * batchSize * vocabSize - alone.readbackBytes);
    expect(both.memory.bytes).toEqual({
      ...alone.memory.bytes,
      workspace: alone.memory.bytes.workspace + cache + inputs + uniforms + readback,
    });
    expect(both.programs.slots).toEqual(alone.programs.slots);
    const kernels = both.programs.programs.flatMap(({ name, kernels }) => (/decode|prompt/.test(name) ? kernels : []));
    expect(uniforms).toBe(256 * kernels.length);
  });

  it('keeps the activations of one prompt at a time, whatever the sequences', () => {
    const activations = (batchSize: number, maxLength: number) =>
      planSession(setup, { decode: { batchSize, maxLength } }, PLAIN).memory.bytes.activations;
    expect(activations(8, 512)).toBe(activations(1, 512));
    expect(activations(8, 4096)).toBe(activations(1, 512));
  });
});
