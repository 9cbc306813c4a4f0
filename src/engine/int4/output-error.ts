/** What outputs are off by, without the inputs: by the sum of their products alone. */
import { Graph } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { dot } from '../ops/dot';
import { matmul } from '../ops/matmul';
import { placePrograms } from '../runtime/place-programs';
import type { Runtime } from '../runtime/runtime';
import type { Matrix } from './types';

const LEAF = { differences: 'differences', gram: 'gram' } as const;

/** Σ ‖D · x‖² = tr(D · Σ xᵀx · Dᵀ). */
export async function outputError(
  runtime: Runtime,
  { values, outFeatures, inFeatures }: Matrix,
  gram: Float32Array,
): Promise<number> {
  const graph = new Graph();
  const differences = graph.leaf(LEAF.differences, { shape: [outFeatures, inFeatures], dtype: 'f32' }, 'workspace');
  const products = graph.leaf(LEAF.gram, { shape: [inFeatures, inFeatures], dtype: 'f32' }, 'workspace');
  const total = graph.keep(dot(graph, matmul(graph, differences, products), differences));
  const memory = await placePrograms(runtime, new Map([['error', graph]]), byteSize(total));
  try {
    memory.write(LEAF.differences, values);
    memory.write(LEAF.gram, gram);
    const [sum] = await memory.runAndRead('error', [total]);
    return sum![0]!;
  } finally {
    memory.destroy();
  }
}
