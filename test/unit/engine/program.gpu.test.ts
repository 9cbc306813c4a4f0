/** Programs: split over submits, folded grids, several on shared buffers. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { backward } from '../../../src/engine/graph/autodiff';
import { byteSize, Graph, type Tensor } from '../../../src/engine/graph/graph';
import { leafBuffers } from '../../../src/engine/compile/layout';
import { Memory } from '../../../src/engine/runtime/memory';
import { add } from '../../../src/engine/ops/add';
import { linear } from '../../../src/engine/ops/matmul';
import { rmsNorm } from '../../../src/engine/ops/rms_norm';
import { planPrograms } from '../../../src/engine/compile/plan';
import { SubmitPacer, type PacedWork } from '../../../src/engine/runtime/pacer';
import { Runtime } from '../../../src/engine/runtime/runtime';
import { matmul as matmulReference } from '../../reference/matmul';
import { rmsNorm as normReference } from '../../reference/rms_norm';
import { relativeError } from '../../support/compare';
import { declareLeaves, openRunner, runGraph, type Runner } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { applyRecipe, recipeInputs, type Step } from '../../support/random-graph';
import { normal } from './cases/types';

const { gpu } = await testGpu();
let runner: Runner;
beforeAll(async () => {
  runner = await openRunner(gpu);
});
afterAll(() => runner.device.destroy());

/** Lets one dispatch into a submit. */
class OneAtATime extends SubmitPacer {
  override endOfSubmit(work: readonly PacedWork[], from: number): number {
    return Math.min(work.length, from + 1);
  }
}

const RECIPE: Step[] = (['linear', 'rmsNorm', 'swiglu', 'linearAdd', 'dropout', 'bias', 'add', 'linear'] as const).map(
  (op, i) => ({ op, first: 0, second: i, width: i % 3, cut: false }),
);

function recipeOutputs(graph: Graph, leaves: Record<string, Tensor>): Record<string, Tensor> {
  const y = applyRecipe(graph, leaves, RECIPE, 'none').at(-1)!;
  const gradients = backward(graph, new Map([[y, leaves[`dy${y.shape[1]!}`]!]]));
  return { y, ...Object.fromEntries([...gradients].map(([leaf, gradient]) => [leaf.leaf!.name, gradient])) };
}

describe('a run split over submits', () => {
  it('gives the bits of a run in one submit', async () => {
    const graph = new Graph();
    const outputs = recipeOutputs(graph, declareLeaves(graph, recipeInputs()));
    Object.values(outputs).forEach((output) => graph.keep(output));
    const { kernels } = planPrograms(new Map([['main', graph]]), runner.capabilities).programs[0]!;

    const whole = await runGraph(runner, recipeInputs(), recipeOutputs);
    const submit = vi.spyOn(runner.device.gpu.queue, 'submit');
    const { device, choices } = runner.runtime;
    const runtime = new Runtime(device, choices, new OneAtATime());
    const split = await runGraph({ ...runner, runtime }, recipeInputs(), recipeOutputs);
    expect(submit).toHaveBeenCalledTimes(kernels.length);
    submit.mockRestore();
    expect(split).toEqual(whole);
  });
});

describe('grids longer than one dimension allows', () => {
  // 65,535 workgroups fit in a dimension.
  it('add one element a thread', async () => {
    const count = 65535 * 64 + 65;
    const ramp = (period: number) => Float32Array.from({ length: count }, (_, i) => (i % period) / 64);
    const inputs = {
      a: { shape: [count], dtype: 'f32', values: ramp(8191) },
      b: { shape: [count], dtype: 'f32', values: ramp(4093) },
    } as const;
    const { y } = await runGraph(runner, inputs, (graph, { a, b }) => ({ y: add(graph, a, b, -2) }));
    const wrong = y.findIndex((value, i) => value !== inputs.a.values[i]! - 2 * inputs.b.values[i]!);
    expect(wrong).toBe(-1);
  });

  it('norm one row a workgroup', async () => {
    const inputs = { x: normal([65535 + 66, 3]), weight: normal([3]) };
    const { y } = await runGraph(runner, inputs, (graph, { x, weight }) => ({ y: rmsNorm(graph, x, weight, 1e-5) }));
    expect(relativeError(y, normReference(inputs.x.values, inputs.weight.values, 1e-5))).toBeLessThan(1e-5);
  });

  it('multiply a vector by one row of a matrix a workgroup', async () => {
    const sizes = { m: 2, n: 65535 + 66, k: 5, transposeB: true };
    const inputs = { x: normal([sizes.m, sizes.k]), w: normal([sizes.n, sizes.k]) };
    const { y } = await runGraph(runner, inputs, (graph, { x, w }) => ({ y: linear(graph, x, w) }));
    expect(relativeError(y, matmulReference(inputs.x.values, inputs.w.values, sizes))).toBeLessThan(1e-5);
  });
});

describe('programs that share leaves and slots', () => {
  it('leave each other alone', async () => {
    const w = normal([37, 20]);
    const x = normal([9, 20]);
    const program = (rows: number) => {
      const graph = new Graph();
      const input = graph.leaf('x', { shape: [rows, 20], dtype: 'f32' }, 'workspace');
      const hidden = linear(graph, input, graph.leaf('w', { shape: [37, 20], dtype: 'f32' }, 'weights'));
      return { graph, y: graph.keep(add(graph, hidden, hidden)) };
    };
    const short = program(3);
    const long = program(9);
    const plan = planPrograms(
      new Map([
        ['short', short.graph],
        ['long', long.graph],
      ]),
      runner.capabilities,
    );
    const memory = await Memory.allocate(runner.runtime, plan, leafBuffers(plan, []), byteSize(long.y));
    memory.write('w', Float32Array.from(w.values));
    memory.write('x', Float32Array.from(x.values));
    const expected = (rows: number) =>
      matmulReference(x.values, w.values, { m: rows, n: 37, k: 20, transposeB: true, alpha: 2 });
    for (const [name, { y }, rows] of [
      ['short', short, 3],
      ['long', long, 9],
      ['short', short, 3],
    ] as const) {
      const [values] = await memory.runAndRead(name, [y]);
      expect(relativeError(values!, expected(rows)), name).toBeLessThan(1e-6);
    }
    memory.destroy();
  });
});
