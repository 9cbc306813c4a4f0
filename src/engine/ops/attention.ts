import forwardCode from '../../../shaders/attention.wgsl?raw';
import deltaCode from '../../../shaders/attention_delta.wgsl?raw';
import dqCode from '../../../shaders/attention_dq.wgsl?raw';
import dkvCode from '../../../shaders/attention_dkv.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { documents, positionInputs, type Positions } from './positions';
import { f32, gridFor, u32, type Shader } from '../kernel';

const forwardShader: Shader = { name: 'attention', code: forwardCode };
const deltaShader: Shader = { name: 'attention_delta', code: deltaCode };
const dqShader: Shader = { name: 'attention_dq', code: dqCode };
const dkvShader: Shader = { name: 'attention_dkv', code: dkvCode };

/** Rows a workgroup works on, one a thread. */
const ROWS = 64;

/** Workgroup memory for the two staged tiles: the WebGPU default limit. */
const TILE_BYTES = 16384;

export interface AttentionSizes {
  readonly batch: number;
  /** Query rows a sequence. */
  readonly length: number;
  /** Key rows a sequence: `length` in training, the cache's capacity when decoding. */
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

function tileSizes({ headDim }: AttentionSizes): Record<string, number> {
  if (headDim % 4 !== 0) throw new Error(`attention: head size ${headDim} is not a multiple of 4`);
  return { HEAD_VECS: headDim / 4, TILE_KEYS: Math.min(64, Math.floor(TILE_BYTES / (2 * 4 * headDim))) };
}

export const attentionOp: Op<AttentionSizes> = {
  name: 'attention',
  outputs([q], { heads }) {
    return [
      { shape: q!.shape, dtype: 'f32' },
      { shape: [q!.shape[0]!, heads], dtype: 'f32' },
    ];
  },
  kernels({ inputs: [q, k, v, start, first], outputs, attrs }) {
    const { batch, length, keys, heads, kvHeads, headDim } = attrs;
    return [
      {
        shader: forwardShader,
        ...documents(first, [q!, k!, v!, start!, ...outputs]),
        sizes: tileSizes(attrs),
        params: [u32(length), u32(keys), u32(heads), u32(kvHeads), f32(1 / Math.sqrt(headDim))],
        workgroups: [Math.ceil(length / ROWS), heads, batch],
        flops: 4 * batch * heads * length * keys * headDim,
      },
    ];
  },
  backward({ graph, inputs: [q, k, v, , first], outputs: [y, lse], dOutputs: [dy], attrs, needs }) {
    const stats = graph.apply1(attentionDeltaOp, [y!, dy!, lse!], attrs);
    const saved = [q!, k!, v!, dy!, stats, ...(first ? [first] : [])];
    const dq = needs(0) ? graph.apply1(attentionDqOp, saved, attrs) : undefined;
    const [dk, dv] = needs(1) || needs(2) ? graph.apply(attentionDkvOp, saved, attrs) : [];
    return [dq, dk, dv];
  },
};

export const attentionDeltaOp: Op<AttentionSizes> = {
  name: 'attentionDelta',
  outputs: ([y], { heads }) => [{ shape: [y!.shape[0]!, heads, 2], dtype: 'f32' }],
  kernels({ inputs, outputs, attrs }) {
    const count = attrs.batch * attrs.length * attrs.heads;
    return [
      {
        shader: deltaShader,
        sizes: { HEAD_VECS: attrs.headDim / 4 },
        params: [u32(count)],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(count),
        flops: 2 * count * attrs.headDim,
      },
    ];
  },
};

export const attentionDqOp: Op<AttentionSizes> = {
  name: 'attentionDq',
  outputs: ([q]) => [{ shape: q!.shape, dtype: 'f32' }],
  kernels({ inputs: [q, k, v, dy, stats, first], outputs, attrs }) {
    const { batch, length, heads, kvHeads, headDim } = attrs;
    return [
      {
        shader: dqShader,
        sizes: tileSizes(attrs),
        ...documents(first, [q!, k!, v!, dy!, stats!, ...outputs]),
        params: [u32(length), u32(heads), u32(kvHeads), f32(1 / Math.sqrt(headDim))],
        workgroups: [Math.ceil(length / ROWS), heads, batch],
        flops: 6 * batch * heads * length * length * headDim,
      },
    ];
  },
};

export const attentionDkvOp: Op<AttentionSizes> = {
  name: 'attentionDkv',
  outputs: ([, k, v]) => [
    { shape: k!.shape, dtype: 'f32' },
    { shape: v!.shape, dtype: 'f32' },
  ],
  kernels({ inputs: [q, k, v, dy, stats, first], outputs, attrs }) {
    const { batch, length, heads, kvHeads, headDim } = attrs;
    return [
      {
        shader: dkvShader,
        sizes: tileSizes(attrs),
        ...documents(first, [q!, k!, v!, dy!, stats!, ...outputs]),
        params: [u32(length), u32(heads), u32(kvHeads), f32(1 / Math.sqrt(headDim))],
        workgroups: [Math.ceil(length / ROWS), kvHeads, batch],
        flops: 8 * batch * heads * length * length * headDim,
      },
    ];
  },
};

/**
 * Causal grouped-query attention: q[B·T, H·D], k and v [B·S, G·D]; a row sees the keys of its document up to its own
 * position; returns [B·T, H·D]. Differentiable where `start` is 0 and S = T.
 */
export function attention(
  graph: Graph,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  positions: Positions,
  sizes: AttentionSizes,
): Tensor {
  return graph.apply1(attentionOp, [q, k, v, ...positionInputs(positions)], sizes);
}
