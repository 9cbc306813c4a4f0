/** Gradients of whole pieces of a model on the GPU, and of checkpointed ones. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine, type Checkpointing } from '../../../src/engine';
import { addGradients, backward } from '../../../src/engine/graph/autodiff';
import type { Graph, Tensor } from '../../../src/engine/graph/graph';
import { accumulate } from '../../../src/engine/ops/accumulate';
import { add } from '../../../src/engine/ops/add';
import { linear } from '../../../src/engine/ops/matmul';
import { rmsNorm } from '../../../src/engine/ops/rms_norm';
import { swiglu } from '../../../src/engine/ops/glu';
import { add as addReference } from '../../reference/add';
import { linearBackward, matmul as matmulReference } from '../../reference/matmul';
import { rmsNorm as normReference, rmsNormBackward } from '../../reference/rms_norm';
import { swiglu as swigluReference, swigluBackward } from '../../reference/glu';
import { relativeError } from '../../support/compare';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { openRunner, runGraph, type LeafInput, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { applyRecipe, recipeInputs, recipes, type Segments, type Step } from '../../support/random-graph';
import { randomWeights } from '../../support/random-weights';
import { caseInputs, opCases, type OpCase } from './cases';
import { normal, trainable } from './cases/types';
import { openTraining, type TrainOptions } from '../../support/sessions';

const { gpu } = await testGpu();
let runner: Runner;
beforeAll(async () => {
  runner = await openRunner(gpu);
});
afterAll(() => runner.device.destroy());

describe('a gated MLP with its norm and skip, [7, 20] through 37', () => {
  const [m, C, I] = [7, 20, 37];
  const EPS = Math.fround(1e-5);
  const inputs = {
    x: trainable(normal([m, C])),
    norm: trainable(normal([C])),
    gate: trainable(normal([I, C], 0.3)),
    up: trainable(normal([I, C], 0.3)),
    down: trainable(normal([C, I], 0.3)),
    dy: normal([m, C]),
  };

  function mlp(graph: Graph, { x, norm, gate, up, down }: Record<keyof typeof inputs, Tensor>): Tensor {
    const h = rmsNorm(graph, x, norm, EPS);
    const activated = swiglu(graph, linear(graph, h, gate), linear(graph, h, up));
    return add(graph, x, linear(graph, activated, down));
  }

  /** The same by the plain loops, forward and back. */
  function expected() {
    const { x, norm, gate, up, down, dy } = Object.fromEntries(
      Object.entries(inputs).map(([name, { values }]) => [name, values]),
    ) as Record<keyof typeof inputs, ArrayLike<number>>;
    const wide = { m, n: I, k: C, transposeB: true };
    const narrow = { m, n: C, k: I, transposeB: true };
    const h = normReference(x, norm, EPS);
    const g = matmulReference(h, gate, wide);
    const u = matmulReference(h, up, wide);
    const activated = swigluReference(g, u);
    const y = matmulReference(activated, down, narrow, x);
    const byDown = linearBackward(activated, down, dy, narrow);
    const { dgate, dup } = swigluBackward(g, u, byDown.dx);
    const byGate = linearBackward(h, gate, dgate, wide);
    const byUp = linearBackward(h, up, dup, wide);
    const byNorm = rmsNormBackward(x, norm, EPS, addReference(byGate.dx, byUp.dx, 1));
    const dx = addReference(dy, byNorm.dx, 1);
    return { y, dx, dnorm: byNorm.dweight, dgate: byGate.dw, dup: byUp.dw, ddown: byDown.dw };
  }

  it.each([false, true])('equals plain loops, checkpointed %s', async (checkpoint) => {
    const actual = await runGraph(runner, inputs, (graph, leaves) => {
      const y = checkpoint ? graph.checkpoint(() => mlp(graph, leaves)) : mlp(graph, leaves);
      const gradients = backward(graph, new Map([[y, leaves.dy]]));
      return {
        y,
        dx: gradients.get(leaves.x)!,
        dnorm: gradients.get(leaves.norm)!,
        dgate: gradients.get(leaves.gate)!,
        dup: gradients.get(leaves.up)!,
        ddown: gradients.get(leaves.down)!,
      };
    });
    for (const [name, values] of Object.entries(expected())) {
      expect(relativeError(actual[name as keyof typeof actual], values), name).toBeLessThan(1e-5);
    }
  });
});

/** Every gradient of a recipe, as bits. */
async function gradientBits(inputs: Record<string, LeafInput>, recipe: Step[], segments: Segments) {
  const values = await runGraph(runner, inputs, (graph, leaves) => {
    const y = applyRecipe(graph, leaves, recipe, segments).at(-1)!;
    const gradients = backward(graph, new Map([[y, leaves[`dy${y.shape[1]!}`]!]]));
    return { y, ...Object.fromEntries([...gradients].map(([leaf, gradient]) => [leaf.leaf!.name, gradient])) };
  });
  return Object.entries<Float32Array>(values).map(([name, value]) => [
    name,
    [...new Uint32Array(value.slice().buffer)],
  ]);
}

describe('checkpointing', () => {
  it('gives the same bits on random graphs', async () => {
    const inputs = recipeInputs();
    await fc.assert(
      fc.asyncProperty(recipes, async (recipe) => {
        const kept = await gradientBits(inputs, recipe, 'none');
        expect(await gradientBits(inputs, recipe, 'flat')).toEqual(kept);
        expect(await gradientBits(inputs, recipe, 'nested')).toEqual(kept);
      }),
      { numRuns: 20 },
    );
  });

  describe('of a decoder with dropout', () => {
    const batch = {
      inputIds: [
        [1, 2, 3, 4, 5, 6, 7, 8],
        [8, 9, 10],
      ],
      labels: [
        [1, 2, 3, -100, 5, 6, 7, 8],
        [8, 9, 10],
      ],
    };

    /** Two steps, and what they leave. */
    async function train(gradientCheckpointing: boolean, checkpointing?: Checkpointing) {
      const engine = await openEngine(gpu);
      const options: TrainOptions = {
        spec: { ...tinySpec, numLayers: 5 },
        weightDType: 'f32',
        lora: tinyLora,
        seed: 5,
        batchSize: 2,
        lengths: [8],
        gradientCheckpointing,
        checkpointing,
        adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
        maxGradNorm: 1,
      };
      const session = await openTraining(engine, options, randomWeights(options.spec));
      const results = [await session.step([batch, batch], 0, 1e-2), await session.step([batch], 1, 1e-2)];
      const { lossSum } = await session.evaluate(batch);
      const state = await session.exportState();
      const { activations } = session.plan.bytes;
      expect(session.liveBytes).toEqual(session.plan);
      session.dispose();
      engine.destroy();
      return { results, lossSum, state, activations };
    }

    it('gives the same bytes in less memory, and in less still with segments of two layers', async () => {
      const plain = await train(false);
      const layers = await train(true);
      const pairs = await train(true, { layersPerSegment: 2 });
      expect({ ...layers, activations: 0 }).toEqual({ ...plain, activations: 0 });
      expect({ ...pairs, activations: 0 }).toEqual({ ...plain, activations: 0 });
      expect(layers.activations).toBeLessThan(plain.activations);
      expect(pairs.activations).toBeLessThan(layers.activations);
    });

    it('is the same with the MLP in chunks, but for the order in which rows are summed', async () => {
      const whole = await train(true);
      for (const chunked of [await train(true, { mlpRows: 8 }), await train(false, { mlpRows: 5 })]) {
        expect(chunked.results[0]!.loss).toBe(whole.results[0]!.loss);
        const norms = chunked.results.map(({ gradNorm }) => gradNorm);
        expect(
          relativeError(
            norms,
            whole.results.map(({ gradNorm }) => gradNorm),
          ),
        ).toBeLessThan(1e-6);
        expect(Math.abs(chunked.lossSum / whole.lossSum - 1)).toBeLessThan(1e-5);
      }
    });

    it('rounds the same way when it recomputes: bf16 inputs, in segments of one layer and of three', async () => {
      const single = await train(true, { dtype: 'bf16' });
      const nested = await train(true, { dtype: 'bf16', layersPerSegment: 3 });
      expect({ ...nested, activations: 0 }).toEqual({ ...single, activations: 0 });
      const exact = await train(true);
      const [rounded] = single.results;
      expect(rounded!.loss).not.toBe(exact.results[0]!.loss);
      expect(Math.abs(rounded!.loss / exact.results[0]!.loss - 1)).toBeLessThan(0.01);
      expect(Math.abs(rounded!.gradNorm / exact.results[0]!.gradNorm - 1)).toBeLessThan(0.05);
      expect(single.activations).toBeLessThan(exact.activations);
    });
  });
});

describe('gradients that are added to totals', () => {
  const totalOf = (name: string) => `total of ${name}`;
  const trainedBy = ({ inputs }: OpCase) => Object.entries(inputs).filter(([, input]) => input.trainable);
  // Two of each op that has a gradient to add: products, norms, biases, tables, magnitudes, and sums of several uses.
  const differentiated = opCases.filter((opCase) => opCase.backward && trainedBy(opCase).length > 0);
  const opOf = ({ name }: OpCase) => name.split(' ')[0]!;
  const cases = differentiated.filter((opCase, i) => {
    const before = differentiated.slice(0, i).filter((other) => opOf(other) === opOf(opCase));
    return before.length < 2;
  });

  /** Totals, as bits, after the gradients of a case were added to other numbers. */
  async function totals(opCase: OpCase, addTo: (graph: Graph, seeds: Map<Tensor, Tensor>) => void) {
    const given = trainedBy(opCase).map(([name, { shape }], i) => {
      const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, k) => Math.fround((k % 7) / 3 - i));
      return [totalOf(name), { shape, dtype: 'f32', values }] as const;
    });
    const inputs = { ...caseInputs(opCase), ...Object.fromEntries(given) } as Record<string, LeafInput>;
    inputs['dy'] = { ...inputs['dy']!, values: Float32Array.from(inputs['dy']!.values, (_, k) => Math.sin(k + 1)) };
    const read = await runGraph(runner, inputs, (graph, leaves) => {
      const [result] = opCase.build(graph, leaves);
      addTo(graph, new Map([[result!, leaves['dy']!]]));
      return Object.fromEntries(given.map(([name]) => [name, leaves[name]!]));
    });
    return Object.entries(read).map(([name, values]) => [name, [...new Uint32Array(values.slice().buffer)]]);
  }

  it.each(cases)('have the bits of those that are added afterwards: $name', async (opCase) => {
    const total = (graph: Graph, { leaf, shape }: Tensor) =>
      graph.leaf(totalOf(leaf!.name), { shape, dtype: 'f32' }, 'workspace');
    const afterwards = await totals(opCase, (graph, seeds) => {
      for (const [leaf, gradient] of backward(graph, seeds)) accumulate(graph, gradient, total(graph, leaf));
    });
    const atOnce = await totals(opCase, (graph, seeds) => addGradients(graph, seeds, (leaf) => total(graph, leaf)));
    expect(atOnce).toEqual(afterwards);
  });
});
