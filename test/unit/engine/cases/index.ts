import { backward } from '../../../../src/engine/graph/autodiff';
import { Graph, type Tensor } from '../../../../src/engine/graph/graph';
import type { Kernel, KernelCapabilities } from '../../../../src/engine/graph/kernel';
import type { Values } from '../../../reference/values';
import { declareLeaves, type LeafInput } from '../../../support/graph-runner';
import { attentionCases } from './attention';
import { lossCases } from './loss';
import { objectiveCases } from './objectives';
import { pointwiseCases } from './pointwise';
import { projectionCases } from './projections';
import { rowCases } from './rows';
import { tokenCases } from './tokens';
import { normal, type OpCase } from './types';

export type { OpCase } from './types';

export const opCases: readonly OpCase[] = [
  ...projectionCases,
  ...attentionCases,
  ...rowCases,
  ...pointwiseCases,
  ...lossCases,
  ...objectiveCases,
  ...tokenCases,
];

/** The leaf that seeds the backward pass: the gradient of the first result. */
const SEED = 'dy';

/** A case's inputs, and a random seed for its backward pass where it has one. */
export function caseInputs({ inputs, build, backward }: OpCase): Record<string, LeafInput> {
  if (!backward) return inputs;
  const graph = new Graph();
  const [result] = build(graph, declareLeaves(graph, inputs));
  return { ...inputs, [SEED]: normal(result!.shape) };
}

/** The op and its backward pass in one graph: results under `0`, `1`, …, the gradient of `x` under `dx`. */
export function buildCase(opCase: OpCase, graph: Graph, leaves: Record<string, Tensor>): Record<string, Tensor> {
  const results = opCase.build(graph, leaves);
  const gradients = opCase.backward ? backward(graph, new Map([[results[0]!, leaves[SEED]!]])) : [];
  return Object.fromEntries([
    ...results.map((result, i) => [`${i}`, result] as const),
    ...[...gradients].map(([leaf, gradient]) => [`d${leaf.leaf!.name}`, gradient] as const),
  ]);
}

/** The kernels that a case, with its backward pass, lowers to. */
export function caseKernels(opCase: OpCase, capabilities: KernelCapabilities): Kernel[] {
  const graph = new Graph();
  const outputs = buildCase(opCase, graph, declareLeaves(graph, caseInputs(opCase)));
  Object.values(outputs).forEach((output) => graph.keep(output));
  return graph.liveNodes().flatMap((node) => node.op.kernels(node, capabilities));
}

/** A kernel and all that could run in its place. */
export function withVariants(kernel: Kernel): Kernel[] {
  return [kernel, ...(kernel.variants?.kernels.values() ?? [])];
}

/** What the reference says, under the same names. */
export function expectedOf(opCase: OpCase, inputs: Readonly<Record<string, LeafInput>>): Record<string, Values> {
  const values = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.values]));
  const results = opCase.forward(values).map((result, i) => [`${i}`, result] as const);
  const gradients = opCase.backward ? Object.entries(opCase.backward(values, inputs[SEED]!.values)) : [];
  return Object.fromEntries([...results, ...gradients.map(([name, gradient]) => [`d${name}`, gradient!] as const)]);
}
