/** Every op's kernels, forward and backward, against plain loops; with and without subgroups and `shader-f16`. */
import { afterAll, describe, expect, it } from 'vitest';
import { pipelineKey } from '../../../src/engine/graph/kernel';
import { relativeError } from '../../support/compare';
import { openRunner, runGraph, type RunnerOptions } from '../../support/graph-runner';
import { testGpu } from '../../support/gpu';
import { buildCase, caseInputs, caseKernels, expectedOf, opCases } from './cases';

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

const available = VARIANTS.filter(({ withoutFeatures = [] }) =>
  withoutFeatures.every((feature) => offered.has(feature)),
);

/** Cases by the kernels they lower to; a variant leaves out what an earlier one has run kernel for kernel. */
const seen = new Set<string>();

for (const { title, ...variant } of available) {
  const runner = await openRunner(gpu, variant);
  const fresh = prepared.filter(({ opCase }, i) => {
    const key = [i, ...caseKernels(opCase, runner.capabilities).map(pipelineKey)].join();
    return !seen.has(key) && seen.add(key);
  });

  describe.runIf(fresh.length > 0)(title, () => {
    afterAll(() => runner.device.destroy());

    it.each(fresh)('$opCase.name', async ({ opCase, inputs, expected }) => {
      const actual = await runGraph(runner, inputs, (graph, leaves) => buildCase(opCase, graph, leaves));
      expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
      for (const [name, values] of Object.entries(expected)) {
        const error = relativeError(actual[name]!, values);
        expect.soft(error, name).toBeLessThan(TOLERANCE);
      }
    });
  });
}
