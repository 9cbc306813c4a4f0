import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const gatherShader = shader('rows/gather');
const appendShader = shader('rows/kv_append');

const gatherRowsOp: Op = {
  name: 'gatherRows',
  outputs: ([x, rows]) => [{ shape: [rows!.shape[0]!, matrix('gatherRows', x!)[1]], dtype: 'f32' }],
  kernels({ inputs, outputs }) {
    const [rows, channels] = matrix('gatherRows', outputs[0]!);
    const bindings = [...inputs, ...outputs];
    const params = [rows, channels, 0, inputs[0]!.shape[0]!].map(u32);
    const workgroups = gridFor(rows * channels);
    return [{ shader: gatherShader, params, bindings, workgroups, flops: rows * channels }];
  },
};

/** Rows of x[N, C] at rows[R] (u32): f32 [R, C]. */
export function gatherRows(graph: Graph, x: Tensor, rows: Tensor): Tensor {
  return graph.apply1(gatherRowsOp, [x, rows], undefined);
}

const kvAppendOp: Op<{ length: number }> = {
  name: 'kvAppend',
  writes: [3],
  outputs: () => [],
  kernels({ inputs, attrs }) {
    const [rows, channels] = matrix('kvAppend', inputs[0]!);
    const capacity = inputs[3]!.shape[1]!;
    return [
      {
        shader: appendShader,
        params: [u32(rows), u32(attrs.length), u32(capacity), u32(channels)],
        bindings: inputs,
        workgroups: gridFor(rows * channels),
        flops: rows * channels,
      },
    ];
  },
};

/** Where rows go in a cache: from position start[b] on, as far as they are before end[b]; u32 [B] both. */
export interface CacheRange {
  readonly start: Tensor;
  readonly end: Tensor;
}

/** Writes x[B·T, C] into cache[B, S, C]; what falls past its end, or past S, is dropped. */
export function kvAppend(graph: Graph, x: Tensor, { start, end }: CacheRange, cache: Tensor, length: number): void {
  graph.apply(kvAppendOp, [x, start, end, cache], { length });
}
