/** Variants of kernels are measured on first use, on buffers of their own, and never again where the choice is kept. */
import { expect, it } from 'vitest';
import { Graph } from '../../../src/engine/graph/graph';
import { linear } from '../../../src/engine/ops/matmul';
import { planPrograms } from '../../../src/engine/compile/plan';
import { Runtime } from '../../../src/engine/runtime/runtime';
import { tune } from '../../../src/engine/runtime/tuner';
import { countingGpu } from '../../support/counting-gpu';
import { testGpu } from '../../support/gpu';

const { gpu } = await testGpu();

type Choices = Readonly<Record<string, string>>;

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
  expect(store.kept).toEqual({ [shapeClass]: chosen });
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
  expect((await tuned(128, memoryStore({ [shapeClass]: slow }))).chosen).toBe(slow);
  const store = memoryStore({ [shapeClass]: 'a kernel of the past', another: 'choice' });
  const { chosen } = await tuned(128, store);
  expect(names).toContain(chosen);
  expect(store.kept).toEqual({ [shapeClass]: chosen, another: 'choice' });
});

it('measures nothing for small work', async () => {
  const store = memoryStore(undefined);
  const { counts, chosen } = await tuned(8, store);
  expect(counts.created).toBe(0);
  expect(chosen).toBeUndefined();
  expect(store.writes).toBe(0);
});
