/** The memory plan: sound on random graphs, shared between programs, equal to what is allocated. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openEngine } from '../../../src/engine';
import { backward } from '../../../src/engine/graph/autodiff';
import { byteSize, Graph, type Tensor } from '../../../src/engine/graph/graph';
import { PLAIN } from '../../../src/engine/graph/kernel';
import { add } from '../../../src/engine/ops/add';
import { headLoss } from '../../../src/engine/ops/head_loss';
import { linear } from '../../../src/engine/ops/matmul';
import { swiglu } from '../../../src/engine/ops/glu';
import { planPrograms, programLifetimes, slotBytes, type ProgramsPlan } from '../../../src/engine/compile/plan';
import { keepRepeats } from '../../../src/engine/compile/reuse';
import type {} from '../../../src/engine/types';
import { tinyLora, tinySpec } from '../../support/decoder-spec';
import { declareLeaves, openRunner, placeGraph } from '../../support/graph-runner';
import { nullGpu } from '../../support/gpu';
import { applyRecipe, recipeInputs, recipes, type Segments, type Step } from '../../support/random-graph';
import { randomWeights } from '../../support/random-weights';
import {
  openDecoding,
  openTraining,
  planDecodeSession,
  planDecoding,
  planTrainSession,
  planTraining,
  type TrainOptions,
} from '../../support/sessions';

/** A recipe with its backward pass; `kept` of its values stay readable, and so do all gradients. */
function recipeGraph(recipe: readonly Step[], segments: Segments, kept: number): Graph {
  const graph = new Graph();
  const leaves = declareLeaves(graph, recipeInputs());
  const values = applyRecipe(graph, leaves, recipe, segments);
  const y = values.at(-1)!;
  graph.keep(values[kept % values.length]!);
  const gradients = backward(graph, new Map([[y, leaves[`dy${y.shape[1]!}`]!]]));
  gradients.forEach((gradient) => graph.keep(gradient));
  return graph;
}

/** Runs the plan on paper: every slot remembers the value written last, and every read must find its own. */
function replay(graph: Graph, { slots, slotOf, inPlace }: ProgramsPlan): void {
  const held = new Map<number, Tensor>();
  const slot = (tensor: Tensor) => slotOf.get(tensor)!;
  const expectHeld = (tensor: Tensor) => expect(held.get(slot(tensor))).toBe(tensor);
  for (const node of graph.liveNodes()) {
    const read = node.inputs.filter((input) => !input.leaf);
    read.forEach(expectHeld);
    const written = node.outputs.map(slot);
    expect(new Set(written).size, 'outputs of one node').toBe(written.length);
    const both = read.map(slot).filter((index) => written.includes(index));
    const taken = inPlace.has(node) ? node.op.inPlace! : [];
    expect(both.toSorted(), 'read and written at once').toEqual(
      taken.map((from) => slot(node.inputs[from]!)).toSorted(),
    );
    taken.forEach((from, k) => expect(slot(node.outputs[k]!)).toBe(slot(node.inputs[from]!)));
    for (const output of node.outputs) {
      expect(slots[slot(output)]!.bytes).toBeGreaterThanOrEqual(byteSize(output));
      held.set(slot(output), output);
    }
  }
  for (const result of graph.results) if (!result.leaf) expectHeld(result);
}

/** The most bytes that are alive at once. */
function mostHeld(graph: Graph): number {
  const nodes = graph.liveNodes();
  const held = nodes.map(() => 0).concat(0);
  for (const { bytes, start, end } of programLifetimes(graph, nodes, 0).lifetimes) {
    for (let time = start; time <= end; time++) held[time]! += bytes;
  }
  return Math.max(...held);
}

const cases = fc.record({
  recipe: recipes,
  segments: fc.constantFrom<Segments>('none', 'flat', 'nested'),
  kept: fc.nat(20),
});

describe('slots', () => {
  it('never hold two values that are alive together', () => {
    fc.assert(
      fc.property(cases, ({ recipe, segments, kept }) => {
        const graph = recipeGraph(recipe, segments, kept);
        replay(graph, planPrograms(new Map([['main', graph]]), PLAIN));
      }),
    );
  });

  it('never do so either where values are kept that would be computed again, and take no more bytes', () => {
    fc.assert(
      fc.property(cases, ({ recipe, segments, kept }) => {
        const graph = recipeGraph(recipe, segments, kept);
        const bytes = () => slotBytes(graph, graph.liveNodes());
        const before = { nodes: graph.liveNodes().length, held: mostHeld(graph), bytes: bytes() };
        keepRepeats(graph);
        expect(graph.liveNodes().length).toBeLessThanOrEqual(before.nodes);
        expect(mostHeld(graph)).toBeLessThanOrEqual(before.held);
        expect(bytes()).toBeLessThanOrEqual(before.bytes);
        replay(graph, planPrograms(new Map([['main', graph]]), PLAIN));
      }),
    );
  });

  it('serve several programs, each as if it were alone', () => {
    fc.assert(
      fc.property(fc.array(cases, { minLength: 2, maxLength: 3 }), (several) => {
        const graphs = several.map(({ recipe, segments, kept }) => recipeGraph(recipe, segments, kept));
        const plan = planPrograms(new Map(graphs.map((graph, i) => [`${i}`, graph])), PLAIN);
        graphs.forEach((graph) => replay(graph, plan));
        const alone = graphs.map((graph) => planPrograms(new Map([['main', graph]]), PLAIN));
        const bytes = ({ slots }: ProgramsPlan) => slots.reduce((sum, slot) => sum + slot.bytes, 0);
        expect(bytes(plan)).toBeLessThan(alone.reduce((sum, one) => sum + bytes(one), 1));
      }),
      { numRuns: 30 },
    );
  });

  it('of a chain are two, whatever its length', () => {
    const graph = new Graph();
    const leaves = declareLeaves(graph, recipeInputs());
    let x = leaves['x']!;
    for (let i = 0; i < 9; i++) x = linear(graph, x, leaves['w12x12']!);
    graph.keep(x);
    expect(planPrograms(new Map([['main', graph]]), PLAIN).slots).toEqual([
      { bytes: 4 * 5 * 12, kind: 'activations' },
      { bytes: 4 * 5 * 12, kind: 'activations' },
    ]);
  });

  it('pass from an input to the output that takes its place, where the input ends', () => {
    const slots = (build: (graph: Graph, x: Tensor, gated: Tensor) => Tensor) => {
      const graph = new Graph();
      const x = graph.leaf('x', { shape: [5, 12], dtype: 'f32' }, 'workspace');
      graph.keep(build(graph, x, swiglu(graph, x, x)));
      return planPrograms(new Map([['main', graph]]), PLAIN).slots.length;
    };
    expect(slots((graph, x, gated) => add(graph, x, gated))).toBe(1);
    expect(slots((graph, x, gated) => add(graph, add(graph, x, gated), gated))).toBe(2); // needed once more
    expect(slots((graph, x, gated) => add(graph, x, graph.keep(gated)))).toBe(2); // read afterwards
    expect(slots((graph, x, gated) => add(graph, gated, x))).toBe(2); // a leaf stays as it is
    expect(slots((graph, x, gated) => add(graph, gated, gated))).toBe(2); // both operands
  });

  it('of scratch values count as workspace', () => {
    const graph = new Graph();
    const leaf = (name: string, shape: number[], dtype: 'f32' | 'i32' | 'u32' = 'f32') =>
      graph.leaf(name, { shape, dtype }, 'workspace');
    const targets = { labels: leaf('labels', [5], 'i32'), rows: leaf('rows', [5], 'u32') };
    graph.keep(headLoss(graph, leaf('hidden', [5, 3]), [leaf('table', [9, 3])], targets));
    const { slots } = planPrograms(new Map([['main', graph]]), PLAIN);
    expect(slots.map(({ bytes, kind }) => `${kind} ${bytes}`).toSorted()).toEqual([
      'activations 16', // the loss
      'workspace 192', // logits
      'workspace 32', // of every row: its loss, its log-sum-exp, the logit of its label
      'workspace 32',
      'workspace 32',
      'workspace 48', // maximum and sum of its one slice
      'workspace 64', // hidden states of a chunk
    ]);
  });
});

describe('leaves', () => {
  const program = (rows: number) => {
    const graph = new Graph();
    const x = graph.leaf('x', { shape: [rows, 20], dtype: 'f32' }, 'workspace');
    graph.keep(linear(graph, x, graph.leaf('w', { shape: [5, 20], dtype: 'bf16' }, 'weights')));
    return graph;
  };

  it('are one buffer for all programs, as large as the largest needs', () => {
    const { leaves } = planPrograms(
      new Map([
        ['short', program(3)],
        ['long', program(9)],
        ['middle', program(5)],
      ]),
      PLAIN,
    );
    expect([...leaves].map(([name, tensor]) => [name, byteSize(tensor)])).toEqual([
      ['x', 4 * 9 * 20],
      ['w', 2 * 5 * 20 + 8], // whole vectors of four words
    ]);
  });

  it('are one tensor within a graph', () => {
    const graph = new Graph();
    const type = { shape: [3], dtype: 'f32' } as const;
    expect(graph.leaf('x', type, 'weights')).toBe(graph.leaf('x', type, 'weights'));
  });
});

const training: TrainOptions = {
  spec: tinySpec,
  weightDType: 'bf16',
  lora: { ...tinyLora, useDora: true },
  seed: 1,
  batchSize: 2,
  lengths: [7, 13],
  gradientCheckpointing: false,
  adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  maxGradNorm: 1,
};

describe('planned bytes', () => {
  it('equal the ledger for random graphs', async () => {
    const runner = await openRunner(nullGpu());
    await fc.assert(
      fc.asyncProperty(cases, async ({ recipe, segments, kept }) => {
        const graph = recipeGraph(recipe, segments, kept);
        const { memory, plan } = await placeGraph(
          runner,
          graph,
          recipeInputs(),
          [...graph.results].filter(({ leaf }) => !leaf),
        );
        const live = memory.ledger.liveBytes();
        memory.destroy();
        expect(live).toEqual(plan);
        expect(memory.ledger.liveBytes().totalBytes).toBe(0);
      }),
      { numRuns: 30 },
    );
    runner.device.destroy();
  });

  it('equal the ledger of sessions that train an adapter, train all, and decode', async () => {
    const engine = await openEngine(nullGpu());
    const all: TrainOptions = { ...training, weightDType: 'f32', lora: undefined };
    for (const options of [training, { ...training, gradientCheckpointing: true }, all]) {
      const session = await openTraining(engine, options, randomWeights(tinySpec));
      expect(session.liveBytes).toEqual(planTraining(options));
      session.dispose();
      expect(session.liveBytes.totalBytes).toBe(0);
    }
    const options = { spec: tinySpec, weightDType: 'f16' as const, lora: tinyLora, batchSize: 2, maxLength: 33 };
    const session = await openDecoding(engine, options, randomWeights(tinySpec));
    expect(session.liveBytes).toEqual(planDecoding(options));
    session.dispose();
    engine.destroy();
  });

  it('are the same whatever the adapter can do', () => {
    const capable = [true, false].map((software) => ({ subgroups: true, f16: true, software }));
    const decode = { spec: tinySpec, weightDType: 'f16' as const, batchSize: 1, maxLength: 65 };
    for (const capabilities of capable) {
      expect(planTrainSession(training, capabilities).memory).toEqual(planTraining(training));
      expect(planDecodeSession(decode, capabilities).memory).toEqual(planDecoding(decode));
    }
  });

  it('hold 16-bit weights in half the bytes of f32', () => {
    const weights = (weightDType: 'f32' | 'f16') => planTraining({ ...training, weightDType }).bytes.weights;
    const norms = 4 * (2 * tinySpec.numLayers + 1) * tinySpec.hiddenSize;
    expect(weights('f16') - norms).toBe((weights('f32') - norms) / 2);
  });

  it('of a long batch hold shorter ones too', () => {
    const activations = (lengths: number[]) => planTraining({ ...training, lengths }).bytes.activations;
    expect(activations([7, 13, 33])).toBeLessThan(1.05 * activations([33]));
  });

  it('hold no second copy of the gradients: each is added to its buffer as soon as it is whole', () => {
    const spec = { ...tinySpec, numLayers: 12, vocabSize: 8 };
    const { activations, gradients } = planTraining({ ...training, spec, lengths: [2], lora: undefined }).bytes;
    expect(activations).toBeLessThan(gradients / 4);
  });

  it('of activations grow by as much for each further token, however long the row', () => {
    const lora = { ...tinyLora, useDora: false };
    const bytes = (length: number) => planTraining({ ...training, lora, lengths: [length] }).bytes;
    const grown = (from: number, to: number) => bytes(to).activations - bytes(from).activations;
    expect(grown(4096, 8192)).toBe(2 * grown(2048, 4096));
    expect(grown(2048, 4096)).toBe(2048 * (grown(2048, 2064) / 16));
  });

  it('of activations fall with checkpointing, and nothing else changes', () => {
    const spec = { ...tinySpec, numLayers: 8 };
    const plain = planTraining({ ...training, spec }).bytes;
    const checkpointed = planTraining({ ...training, spec, gradientCheckpointing: true }).bytes;
    expect(checkpointed.activations).toBeLessThan(plain.activations / 2);
    // Uniforms: a block for every dispatch, and recomputing dispatches again.
    expect({ ...checkpointed, activations: 0, workspace: 0 }).toEqual({ ...plain, activations: 0, workspace: 0 });
  });
});

it('takes as many nodes as the longest sequence has', () => {
  const graph = new Graph();
  const leaves = declareLeaves(graph, recipeInputs());
  const [x] = Object.values(leaves);
  add(graph, x!, x!);
  const many = Array.from({ length: 200_000 }, () => graph.nodes[0]!);
  graph.replaceNodes(many); // a call takes some 120,000 arguments
  expect(graph.nodes.length).toBe(200_000);
});
