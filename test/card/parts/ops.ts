/** Every op, forward and backward, against plain loops, by the features that the device may have to do without. */
import { findGpu } from '../../../src/cli/gpu';
import { pipelineKey } from '../../../src/engine/graph/kernel';
import { relativeError } from '../../support/compare';
import { openRunner, runGraph, type RunnerOptions } from '../../support/graph-runner';
import { buildCase, caseInputs, caseKernels, expectedOf, opCases } from '../../unit/engine/cases';
import type { Part } from '../types';

/** Relative, by norm: f32 on the GPU against f64. A sum in f16 would be off by 1e-3. */
const TOLERANCE = 1e-5;

/** Of how many cases the small size takes one. */
const SMALL_STRIDE = 10;

const FEATURES: readonly (RunnerOptions & { title: string })[] = [
  { title: 'every feature' },
  { title: 'without subgroups', withoutFeatures: ['subgroups'] },
  { title: 'without shader-f16', withoutFeatures: ['shader-f16'] },
  { title: 'without subgroups and shader-f16', withoutFeatures: ['subgroups', 'shader-f16'] },
];

export const ops: Part = async ({ size }, tell) => {
  const gpu = await findGpu(process.env['GRAFT_ADAPTER']);
  const cases = opCases.filter((_, i) => size === 'full' || i % SMALL_STRIDE === 0).map((opCase) => ({ opCase }));
  const prepared = cases.map(({ opCase }) => ({ opCase, inputs: caseInputs(opCase) }));
  const expected = new Map<string, ReturnType<typeof expectedOf>>();
  const seen = new Set<string>();
  for (const { title, ...options } of FEATURES) {
    const runner = await openRunner(gpu, options);
    for (const [i, { opCase, inputs }] of prepared.entries()) {
      // What other features have run kernel for kernel is not run again.
      const key = [i, ...caseKernels(opCase, runner.capabilities).map(pipelineKey)].join();
      if (seen.has(key)) continue;
      seen.add(key);
      const name = `${opCase.name}, ${title}`;
      try {
        const actual = await runGraph(runner, inputs, (graph, leaves) => buildCase(opCase, graph, leaves));
        const known = expected.get(opCase.name) ?? expectedOf(opCase, inputs);
        expected.set(opCase.name, known);
        const errors = Object.entries(known).map(([result, values]) => relativeError(actual[result]!, values));
        const worst = errors.reduce((most, error) => (error <= most ? most : error), 0);
        tell({ kind: 'check', name, passed: worst < TOLERANCE, detail: `relative error ${worst.toExponential(1)}` });
      } catch (error) {
        tell({ kind: 'check', name, passed: false, detail: (error as Error).message });
      }
    }
    runner.device.destroy();
  }
};
