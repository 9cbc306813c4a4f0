/** Attention on CPU adapters with subgroups: see shaders/quad_blocks.wgsl. */
import dkvCode from '../../../shaders/attention_dkv_quad.wgsl?raw';
import dqCode from '../../../shaders/attention_dq_quad.wgsl?raw';
import forwardCode from '../../../shaders/attention_quad.wgsl?raw';
import blocksCode from '../../../shaders/quad_blocks.wgsl?raw';
import type { Tensor } from '../graph';
import { f32, u32, type Param, type Shader } from '../kernel';
import { attentionFlops, type AttentionKernel, type AttentionSizes } from './attention_sizes';
import { documents } from './positions';

const blocksModule: Shader = { name: 'quad_blocks', code: blocksCode };
const forwardShader: Shader = { name: 'attention_quad', code: forwardCode };
const dqShader: Shader = { name: 'attention_dq_quad', code: dqCode };
const dkvShader: Shader = { name: 'attention_dkv_quad', code: dkvCode };

/** Rows of the block that a quad works on, and quads of a workgroup. */
const BLOCK_ROWS = 16;
const QUADS = 4;

/** How a workgroup's quads are spread over `heads`, and the grid that follows. */
function quadGrid({ batch, length }: AttentionSizes, heads: number) {
  const quadHeads = heads % 4 === 0 ? 4 : heads % 2 === 0 ? 2 : 1;
  const tiles = Math.ceil(length / (BLOCK_ROWS * (QUADS / quadHeads)));
  return { quadHeads, workgroups: [tiles, heads / quadHeads, batch] as const };
}

/** The last words of the kernels' uniform block. */
function lastParams({ headDim }: AttentionSizes, quadHeads: number): Param[] {
  return [u32(headDim / 4), u32(quadHeads), f32(1 / Math.sqrt(headDim))];
}

function withBlocks(first: Tensor | undefined, bindings: readonly Tensor[]) {
  const { modules, ...rest } = documents(first, bindings);
  return { ...rest, modules: [...modules, blocksModule] };
}

export const quadForward: AttentionKernel = ({ inputs: [q, k, v, start, first], outputs, attrs }) => {
  const { length, keys, heads, kvHeads } = attrs;
  const { quadHeads, workgroups } = quadGrid(attrs, heads);
  return {
    shader: forwardShader,
    ...withBlocks(first, [q!, k!, v!, start!, ...outputs]),
    params: [u32(length), u32(keys), u32(heads), u32(kvHeads), ...lastParams(attrs, quadHeads)],
    workgroups,
    flops: attentionFlops(attrs, 2),
  };
};

export const quadDq: AttentionKernel = ({ inputs: [q, k, v, dy, stats, first], outputs, attrs }) => {
  const { length, heads, kvHeads } = attrs;
  const { quadHeads, workgroups } = quadGrid(attrs, heads);
  return {
    shader: dqShader,
    ...withBlocks(first, [q!, k!, v!, dy!, stats!, ...outputs]),
    params: [u32(length), u32(heads), u32(kvHeads), ...lastParams(attrs, quadHeads)],
    workgroups,
    flops: attentionFlops(attrs, 3),
  };
};

export const quadDkv: AttentionKernel = ({ inputs: [q, k, v, dy, stats, first], outputs, attrs }) => {
  const { length, heads, kvHeads } = attrs;
  const { quadHeads, workgroups } = quadGrid(attrs, kvHeads);
  return {
    shader: dkvShader,
    ...withBlocks(first, [q!, k!, v!, dy!, stats!, ...outputs]),
    params: [u32(length), u32(heads), u32(kvHeads), ...lastParams(attrs, quadHeads)],
    workgroups,
    flops: attentionFlops(attrs, 4),
  };
};
