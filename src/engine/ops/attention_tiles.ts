/** Attention in tiles of workgroup memory (shaders/attention_tiles.wgsl), and of few rows over a cache. */
import forwardCode from '../../../shaders/attention.wgsl?raw';
import decodeCode from '../../../shaders/attention_decode.wgsl?raw';
import dkvCode from '../../../shaders/attention_dkv.wgsl?raw';
import dqCode from '../../../shaders/attention_dq.wgsl?raw';
import tilesCode from '../../../shaders/attention_tiles.wgsl?raw';
import { f32, u32, type Kernel, type Shader } from '../kernel';
import { attentionFlops, type AttentionKernel } from './attention_sizes';
import { reduceModule } from './modules';
import { documents } from './positions';

const tilesModule: Shader = { name: 'attention_tiles', code: tilesCode };
const forwardShader: Shader = { name: 'attention', code: forwardCode };
const decodeShader: Shader = { name: 'attention_decode', code: decodeCode };
const dqShader: Shader = { name: 'attention_dq', code: dqCode };
const dkvShader: Shader = { name: 'attention_dkv', code: dkvCode };

/** Rows a workgroup of tiles works on. */
const ROWS = 32;

/** The decoding kernel keeps four numbers of a head in a lane, of 64. */
export const DECODE_MAX_HEAD_DIM = 256;

/** What both forward kernels bind. */
function forward({ inputs: [q, k, v, start, first], outputs, attrs }: Parameters<AttentionKernel>[0]) {
  const { length, keys, heads, kvHeads, headDim } = attrs;
  return {
    ...documents(first, [q!, k!, v!, start!, ...outputs]),
    sizes: { HEAD_VECS: headDim / 4 },
    params: [u32(length), u32(keys), u32(heads), u32(kvHeads), u32(headDim / 4), f32(1 / Math.sqrt(headDim))],
    flops: attentionFlops(attrs, 2),
  };
}

/** What both gradients bind. */
function gradient({ inputs: [q, k, v, dy, stats, first], outputs, attrs }: Parameters<AttentionKernel>[0]) {
  const { length, heads, kvHeads, headDim } = attrs;
  return {
    ...documents(first, [q!, k!, v!, dy!, stats!, ...outputs]),
    sizes: { HEAD_VECS: headDim / 4 },
    params: [u32(length), u32(heads), u32(kvHeads), u32(headDim / 4), f32(1 / Math.sqrt(headDim))],
  };
}

function withModule<T extends Required<Pick<Kernel, 'modules'>>>(module: Shader, part: T): T {
  return { ...part, modules: [...part.modules, module] };
}

export const tileForward: AttentionKernel = (node) => ({
  ...withModule(tilesModule, forward(node)),
  shader: forwardShader,
  workgroups: [Math.ceil(node.attrs.length / ROWS), node.attrs.heads, node.attrs.batch],
});

export const decodeForward: AttentionKernel = (node, capabilities) => ({
  ...withModule(reduceModule(capabilities), forward(node)),
  shader: decodeShader,
  workgroups: [node.attrs.length, node.attrs.heads, node.attrs.batch],
});

export const tileDq: AttentionKernel = (node) => ({
  ...withModule(tilesModule, gradient(node)),
  shader: dqShader,
  workgroups: [Math.ceil(node.attrs.length / ROWS), node.attrs.heads, node.attrs.batch],
  flops: attentionFlops(node.attrs, 3),
});

export const tileDkv: AttentionKernel = (node) => ({
  ...withModule(tilesModule, gradient(node)),
  shader: dkvShader,
  workgroups: [Math.ceil(node.attrs.length / ROWS), node.attrs.kvHeads, node.attrs.batch],
  flops: attentionFlops(node.attrs, 4),
});
