/** Attention in tiles of workgroup memory (shaders/attention/tiles.wgsl), and of few rows over a cache. */
import type { Tensor } from '../graph/graph';
import { u32, type Param, type Shader } from '../graph/kernel';
import {
  attentionFlops,
  inDispatches,
  scoreParams,
  scoring,
  TILE_ROWS,
  type AttentionKernel,
  type AttentionSizes,
} from './attention_sizes';
import { reduceModule } from './modules';
import { shader } from '../graph/shaders';

const tilesModule = shader('attention/tiles');
const forwardShader = shader('attention/forward');
const decodeShader = shader('attention/decode');
const dqShader = shader('attention/dq');
const dkvShader = shader('attention/dkv');

/** The decoding kernel keeps four numbers of a head in a lane, of 64. */
export const DECODE_MAX_HEAD_DIM = 256;

function withModule(module: Shader, sizes: AttentionSizes, first: Tensor | undefined, bindings: readonly Tensor[]) {
  const { modules, ...rest } = scoring(sizes, first, bindings);
  return { ...rest, modules: [...modules, module] };
}

/** Params behind `kv_heads`, which all kernels have. */
function lastParams(sizes: AttentionSizes): Param[] {
  return [u32(sizes.headDim / 4), ...scoreParams(sizes)];
}

export const decodeForward: AttentionKernel = ({ inputs: [q, k, v, start, first], outputs, attrs }, capabilities) => {
  const { batch, length, keys, heads, kvHeads, headDim } = attrs;
  return [
    {
      shader: decodeShader,
      ...withModule(reduceModule(capabilities), attrs, first, [q!, k!, v!, start!, ...outputs]),
      sizes: { HEAD_VECS: headDim / 4 },
      params: [u32(length), u32(keys), u32(heads), u32(kvHeads), ...lastParams(attrs)],
      workgroups: [length, heads, batch],
      flops: attentionFlops(attrs, 2),
    },
  ];
};

export const tileForward: AttentionKernel = ({ inputs: [q, k, v, start, first], outputs, attrs }, capabilities) => {
  const { batch, length, keys, heads, kvHeads, headDim } = attrs;
  return inDispatches(
    attrs,
    capabilities,
    2,
    attrs.heads,
    [Math.ceil(length / TILE_ROWS), heads, batch],
    (firstTile) => ({
      shader: forwardShader,
      ...withModule(tilesModule, attrs, first, [q!, k!, v!, start!, ...outputs]),
      sizes: { HEAD_VECS: headDim / 4 },
      params: [u32(length), u32(keys), u32(heads), u32(kvHeads), u32(firstTile), ...lastParams(attrs)],
    }),
  );
};

/** Both gradients bind the same; a workgroup's sums belong to one of the heads that `headsOf` counts. */
function gradient(shader: Shader, products: number, headsOf: (sizes: AttentionSizes) => number): AttentionKernel {
  return ({ inputs: [q, k, v, dy, stats, first], outputs, attrs }, capabilities) => {
    const { batch, length, heads, kvHeads, headDim } = attrs;
    return inDispatches(
      attrs,
      capabilities,
      products,
      headsOf(attrs),
      [Math.ceil(length / TILE_ROWS), headsOf(attrs), batch],
      (firstTile) => ({
        shader,
        ...withModule(tilesModule, attrs, first, [q!, k!, v!, dy!, stats!, ...outputs]),
        sizes: { HEAD_VECS: headDim / 4 },
        params: [u32(length), u32(heads), u32(kvHeads), u32(firstTile), ...lastParams(attrs)],
      }),
    );
  };
}

export const tileDq = gradient(dqShader, 3, ({ heads }) => heads);
export const tileDkv = gradient(dkvShader, 4, ({ kvHeads }) => kvHeads);
