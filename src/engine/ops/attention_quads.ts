/** Attention on CPU adapters with subgroups: see shaders/cpu/quad_blocks.wgsl. */
import type { Tensor } from '../graph/graph';
import { u32, type Param, type Shader } from '../graph/kernel';
import { inDispatches, scoreParams, scoring, type AttentionKernel, type AttentionSizes } from './attention_sizes';
import { shader } from '../graph/shaders';

const shareModule = shader('cpu/quad_share');
const blocksModule = shader('cpu/quad_blocks');
const forwardShader = shader('cpu/attention_quad');
const dqShader = shader('cpu/attention_dq_quad');
const dkvShader = shader('cpu/attention_dkv_quad');

/** Rows of the block that a quad works on, and quads of a workgroup. */
const BLOCK_ROWS = 16;
const QUADS = 4;

/** How a workgroup's quads are spread over `heads`, and the grid that follows. */
function quadGrid({ batch, length }: AttentionSizes, heads: number) {
  const quadHeads = heads % 4 === 0 ? 4 : heads % 2 === 0 ? 2 : 1;
  const tiles = Math.ceil(length / (BLOCK_ROWS * (QUADS / quadHeads)));
  return { quadHeads, workgroups: [tiles, heads / quadHeads, batch] as const };
}

function withBlocks(sizes: AttentionSizes, first: Tensor | undefined, bindings: readonly Tensor[]) {
  const { modules, ...rest } = scoring(sizes, first, bindings);
  return { ...rest, modules: [...modules, shareModule, blocksModule] };
}

/** Params from `heads` on, which all three kernels have. */
function params(sizes: AttentionSizes, firstTile: number, quadHeads: number): Param[] {
  const { heads, kvHeads, headDim } = sizes;
  return [...[heads, kvHeads, firstTile, headDim / 4, quadHeads].map(u32), ...scoreParams(sizes)];
}

export const quadForward: AttentionKernel = ({ inputs: [q, k, v, start, first], outputs, attrs }, capabilities) => {
  const { quadHeads, workgroups } = quadGrid(attrs, attrs.heads);
  return inDispatches(attrs, capabilities, 2, attrs.heads, workgroups, (firstTile) => ({
    shader: forwardShader,
    ...withBlocks(attrs, first, [q!, k!, v!, start!, ...outputs]),
    params: [u32(attrs.length), u32(attrs.keys), ...params(attrs, firstTile, quadHeads)],
  }));
};

/** Both gradients bind the same; a quad's sums belong to one of the heads that `headsOf` counts. */
function gradient(shader: Shader, products: number, headsOf: (sizes: AttentionSizes) => number): AttentionKernel {
  return ({ inputs: [q, k, v, dy, stats, first], outputs, attrs }, capabilities) => {
    const { quadHeads, workgroups } = quadGrid(attrs, headsOf(attrs));
    return inDispatches(attrs, capabilities, products, headsOf(attrs), workgroups, (firstTile) => ({
      shader,
      ...withBlocks(attrs, first, [q!, k!, v!, dy!, stats!, ...outputs]),
      params: [u32(attrs.length), ...params(attrs, firstTile, quadHeads)],
    }));
  };
}

export const quadDq = gradient(dqShader, 3, ({ heads }) => heads);
export const quadDkv = gradient(dkvShader, 4, ({ kvHeads }) => kvHeads);
