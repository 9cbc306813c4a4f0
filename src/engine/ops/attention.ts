/** Attention: its shapes, its backward rule, and which kernels compute it. */
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, type KernelCapabilities } from '../graph/kernel';
import { quadDkv, quadDq, quadForward } from './attention_quads';
import { expectSizes, type AttentionKernel, type AttentionSizes } from './attention_sizes';
import { DECODE_MAX_HEAD_DIM, decodeForward, tileDkv, tileDq, tileForward } from './attention_tiles';
import { positionInputs, type Positions } from './positions';
import { shader } from '../graph/shaders';

const deltaShader = shader('attention/delta');

/** CPU adapters pay for barriers: there quads of a subgroup share their loads instead. */
const inQuads = (capabilities: KernelCapabilities) => capabilities.software && capabilities.subgroups;

/** Up to this many rows a workgroup for each beats a tile that is mostly padding. */
const decodeRows = (capabilities: KernelCapabilities) => (inQuads(capabilities) ? 2 : 4);

function forwardKernel({ length, headDim }: AttentionSizes, capabilities: KernelCapabilities): AttentionKernel {
  if (length <= decodeRows(capabilities) && headDim <= DECODE_MAX_HEAD_DIM) return decodeForward;
  return inQuads(capabilities) ? quadForward : tileForward;
}

/** Inputs: q, k, v, start, and `first` where sequences are packed. Outputs: y, and log-sum-exp [B·T, H]. */
const attentionOp: Op<AttentionSizes> = {
  name: 'attention',
  outputs([q], attrs) {
    expectSizes(attrs);
    return [
      { shape: q!.shape, dtype: 'f32' },
      { shape: [q!.shape[0]!, attrs.heads], dtype: 'f32' },
    ];
  },
  kernels: (node, capabilities) => forwardKernel(node.attrs, capabilities)(node, capabilities),
  backward({ graph, inputs: [q, k, v, , first], outputs: [y, lse], dOutputs: [dy], attrs, needs }) {
    const stats = graph.apply1(attentionDeltaOp, [y!, dy!, lse!], attrs);
    const saved = [q!, k!, v!, dy!, stats, ...(first ? [first] : [])];
    const dq = needs(0) ? graph.apply1(attentionDqOp, saved, attrs) : undefined;
    const [dk, dv] = needs(1) || needs(2) ? graph.apply(attentionDkvOp, saved, attrs) : [];
    return [dq, dk, dv];
  },
};

/** (log-sum-exp, dy · y) of each row and head, [B·T, H, 2]. */
const attentionDeltaOp: Op<AttentionSizes> = {
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

/** Inputs of both gradients: q, k, v, dy, (log-sum-exp, delta), and `first` where sequences are packed. */
const attentionDqOp: Op<AttentionSizes> = {
  name: 'attentionDq',
  outputs: ([q]) => [{ shape: q!.shape, dtype: 'f32' }],
  kernels: (node, capabilities) => (inQuads(capabilities) ? quadDq : tileDq)(node, capabilities),
};

const attentionDkvOp: Op<AttentionSizes> = {
  name: 'attentionDkv',
  outputs: ([, k, v]) => [
    { shape: k!.shape, dtype: 'f32' },
    { shape: v!.shape, dtype: 'f32' },
  ],
  kernels: (node, capabilities) => (inQuads(capabilities) ? quadDkv : tileDkv)(node, capabilities),
};

/**
 * Causal grouped-query attention: q[B·T, H·D], k and v [B·S, G·D]; a row sees the keys of its document and window up to
 * its own position; returns [B·T, H·D]. Differentiable where `start` is 0 and S = T.
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
