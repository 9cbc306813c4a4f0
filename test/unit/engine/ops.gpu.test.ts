/** Every op's kernels, forward and backward, against plain loops; with and without subgroups and `shader-f16`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { relativeError } from '../../support/compare';
import { openRunner, runGraph, type Runner, type RunnerOptions } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { buildCase, caseInputs, expectedOf, opCases } from './cases';

/** Relative, by norm: f32 on the GPU against f64. A sum in f16 would be off by 1e-3. */
const TOLERANCE = 1e-5;

const { gpu, software } = await testGpu();
const offered = (await gpu.requestAdapter())!.features;

const VARIANTS: readonly (RunnerOptions & { title: string })[] = [
  { title: 'every feature' },
  { title: 'without subgroups', withoutFeatures: ['subgroups'] },
  { title: 'without shader-f16', withoutFeatures: ['shader-f16'] },
  { title: 'without subgroups and shader-f16', withoutFeatures: ['subgroups', 'shader-f16'] },
  { title: `with the kernels of ${software ? 'a card' : 'a software adapter'}`, software: !software },
];

/** Prepared once: every variant gets the same numbers. */
const prepared = opCases.map((opCase) => {
  const inputs = caseInputs(opCase);
  return { opCase, inputs, expected: expectedOf(opCase, inputs) };
});

// Hiding a feature that the adapter has not changes nothing.
const distinct = VARIANTS.filter(({ withoutFeatures = [] }) => withoutFeatures.every((feature) => offered.has(feature)));

describe.each(distinct)('$title', (variant) => {
  let runner: Runner;
  beforeAll(async () => {
    runner = await openRunner(gpu, variant);
  });
  afterAll(() => runner.device.destroy());

  it.each(prepared)('$opCase.name', async ({ opCase, inputs, expected }) => {
    const actual = await runGraph(runner, inputs, (graph, leaves) => buildCase(opCase, graph, leaves));
    expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
    for (const [name, values] of Object.entries(expected)) {
      const error = relativeError(actual[name]!, values);
      if (process.env.SHOW) console.log('ERR', error.toExponential(1), opCase.name, '|', name);
      expect.soft(error, name).toBeLessThan(TOLERANCE);
    }
  });
});
