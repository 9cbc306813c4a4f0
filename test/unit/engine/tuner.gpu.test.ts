/** Variants of kernels are measured on first use, on buffers of their own, and never again where the choice is kept. */
import { expect, it } from 'vitest';
import type { KernelChoice } from '../../../src/core/kernel-choices';
import { Graph } from '../../../src/engine/graph/graph';
import { f32 } from '../../../src/engine/graph/kernel';
import { linear } from '../../../src/engine/ops/matmul';
import { planPrograms } from '../../../src/engine/compile/plan';
import { Runtime } from '../../../src/engine/runtime/runtime';
import { measure, tune } from '../../../src/engine/runtime/tuner';
import { countingGpu } from '../../support/counting-gpu';
import { testGpu } from '../../support/gpu';

const { gpu } = await testGpu();

type Choices = Readonly<Record<string, KernelChoice>>;

/** A store of one adapter that remembers how often it was written. */
function memoryStore(kept: Choices | undefined) {
  const store = {
    kept,
    writes: 0,
    read: () => Promise.resolve(store.kept),
    write: (_adapter: string, choices: Choices) => {
      store.kept = choices;
      store.writes++;
      return Promise.resolve();
    },
  };
  return store;
}

/** Tunes for y = x · Wᵀ on a device of its own, for a card's kernels, and says what was made for that. */
async function tuned(rows: number, store: ReturnType<typeof memoryStore>, again = false) {
  const { gpu: counted, counts } = countingGpu(gpu);
  const runtime = await Runtime.open(counted, { kernelChoices: store });
  const capabilities = { ...runtime.capabilities, software: false };
  const graph = new Graph();
  const leaf = (name: string, shape: number[]) => graph.leaf(name, { shape, dtype: 'f32' }, 'workspace');
  graph.keep(linear(graph, leaf('x', [rows, 64]), leaf('w', [256, 64])));
  const plan = planPrograms(new Map([['main', graph]]), capabilities);
  await tune(runtime, plan);
  const first = { ...counts };
  if (again) await tune(runtime, plan);
  const { shapeClass, kernels } = plan.programs[0]!.kernels[0]!.variants!;
  const chosen = runtime.choices.get(shapeClass);
  runtime.device.destroy();
  return { counts: { ...counts }, first, shapeClass, chosen, names: [...kernels.keys()] };
}

it('measures a class once, gives its buffers back, and keeps the choice', async () => {
  const store = memoryStore(undefined);
  const { counts, first, shapeClass, chosen, names } = await tuned(128, store, true);
  expect(names).toContain(chosen);
  expect(store.kept).toMatchObject({ [shapeClass]: { name: chosen } });
  const choice = store.kept![shapeClass]!;
  expect(Object.keys(choice.milliseconds!)).toEqual(names);
  expect(choice.differing).toBeUndefined();
  expect(store.writes).toBe(1);
  expect(first.created).toBeGreaterThan(0);
  expect(counts).toEqual(first);
  expect(counts.destroyed).toBe(counts.created);
  expect(counts.liveBytes).toBe(0);

  const sameClass = await tuned(120, store);
  expect(sameClass).toMatchObject({ shapeClass, chosen, counts: { created: 0 } });
  expect(store.writes).toBe(1);
});

it('takes the kept choice, and measures anew where there is no such kernel', async () => {
  const { shapeClass, names } = await tuned(128, memoryStore(undefined));
  const slow = names.at(-1)!;
  expect((await tuned(128, memoryStore({ [shapeClass]: { name: slow } }))).chosen).toBe(slow);
  const store = memoryStore({ [shapeClass]: { name: 'a kernel of the past' }, another: { name: 'choice' } });
  const { chosen } = await tuned(128, store);
  expect(names).toContain(chosen);
  expect(store.kept).toMatchObject({ [shapeClass]: { name: chosen }, another: { name: 'choice' } });
});

it('measures nothing for small work', async () => {
  const store = memoryStore(undefined);
  const { counts, chosen } = await tuned(8, store);
  expect(counts.created).toBe(0);
  expect(chosen).toBeUndefined();
  expect(store.writes).toBe(0);
});

it.each(['f32', 'nf4', 'nf4_nested', 'q8', 'bf16', 'f16'] as const)(
  'leaves out a kernel that writes other bits, of a product with %s, and says so',
  async (dtype) => {
    const runtime = await Runtime.open(gpu);
    const graph = new Graph();
    const x = graph.leaf('x', { shape: [64, 128], dtype: 'f32' }, 'workspace');
    graph.keep(linear(graph, x, graph.leaf('w', { shape: [128, 128], dtype }, 'workspace')));
    const [kernel] = planPrograms(new Map([['main', graph]]), { ...runtime.capabilities, software: false }).programs[0]!
      .kernels;
    const samples = [...kernel!.variants!.sample()].slice(0, 2); // the others take long to compile on a CPU adapter
    // Alpha is the fourth of a product's parameters.
    const odd = { ...samples[0]![1], params: samples[0]![1].params.map((param, i) => (i === 3 ? f32(0.999) : param)) };
    const choice = await measure(runtime, new Map([['odd', odd], ...samples]));
    runtime.device.destroy();
    expect(choice!.differing).toEqual(['odd']);
    expect(samples.map(([name]) => name)).toContain(choice!.name);
  },
);
