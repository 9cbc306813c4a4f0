/** Attention in tiles of workgroup memory, for every other adapter. */
import forwardCode from '../../../shaders/attention.wgsl?raw';
import dkvCode from '../../../shaders/attention_dkv.wgsl?raw';
import dqCode from '../../../shaders/attention_dq.wgsl?raw';
import { f32, u32, type Shader } from '../kernel';
import { attentionFlops, type AttentionKernel, type AttentionSizes } from './attention_sizes';
import { documents } from './positions';

const forwardShader: Shader = { name: 'attention', code: forwardCode };
const dqShader: Shader = { name: 'attention_dq', code: dqCode };
const dkvShader: Shader = { name: 'attention_dkv', code: dkvCode };

/** Rows a workgroup works on, one a thread. */
const ROWS = 64;

/** Workgroup memory for the two staged tiles: the WebGPU default limit. */
const TILE_BYTES = 16384;

function tileSizes({ headDim }: AttentionSizes): Record<string, number> {
  return { HEAD_VECS: headDim / 4, TILE_KEYS: Math.min(64, Math.floor(TILE_BYTES / (2 * 4 * headDim))) };
}

export const tileForward: AttentionKernel = ({ inputs: [q, k, v, start, first], outputs, attrs }) => {
  const { batch, length, keys, heads, kvHeads, headDim } = attrs;
  return {
    shader: forwardShader,
    ...documents(first, [q!, k!, v!, start!, ...outputs]),
    sizes: tileSizes(attrs),
    params: [u32(length), u32(keys), u32(heads), u32(kvHeads), f32(1 / Math.sqrt(headDim))],
    workgroups: [Math.ceil(length / ROWS), heads, batch],
    flops: attentionFlops(attrs, 2),
  };
};

export const tileDq: AttentionKernel = ({ inputs: [q, k, v, dy, stats, first], outputs, attrs }) => {
  const { batch, length, heads, kvHeads, headDim } = attrs;
  return {
    shader: dqShader,
    ...documents(first, [q!, k!, v!, dy!, stats!, ...outputs]),
    sizes: tileSizes(attrs),
    params: [u32(length), u32(heads), u32(kvHeads), f32(1 / Math.sqrt(headDim))],
    workgroups: [Math.ceil(length / ROWS), heads, batch],
    flops: attentionFlops(attrs, 3),
  };
};

export const tileDkv: AttentionKernel = ({ inputs: [q, k, v, dy, stats, first], outputs, attrs }) => {
  const { batch, length, heads, kvHeads, headDim } = attrs;
  return {
    shader: dkvShader,
    ...documents(first, [q!, k!, v!, dy!, stats!, ...outputs]),
    sizes: tileSizes(attrs),
    params: [u32(length), u32(heads), u32(kvHeads), f32(1 / Math.sqrt(headDim))],
    workgroups: [Math.ceil(length / ROWS), kvHeads, batch],
    flops: attentionFlops(attrs, 4),
  };
};
