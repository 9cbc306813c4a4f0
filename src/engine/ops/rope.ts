import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, gridFor, u32 } from '../graph/kernel';
import { lanesModule, placeModule } from './modules';
import { documents, positionInputs, type Positions } from './positions';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const ropeShader = shader('pointwise/rope');

/** Positions of the rows, `length` a sequence, and tables cos, sin [positions, R/2]. */
export interface Rotary extends Positions {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

interface RopeAttrs {
  readonly length: number;
  readonly heads: number;
  readonly direction: 1 | -1;
}

const ropeOp: Op<RopeAttrs> = {
  name: 'rope',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  inPlace: [0],
  kernels({ inputs, outputs, attrs }, _, inPlace = false) {
    const [x, cos, sin, start, first] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor?];
    const [rows, channels] = matrix('rope', x);
    const headDim = channels / attrs.heads;
    const halfDim = cos.shape[1]!;
    const width = halfDim % 4 === 0 && headDim % 8 === 0 ? 4 : 1;
    const threads = (rows * channels) / 2 / width;
    const packed = documents(first, [inPlace ? undefined : x, start, cos, sin, ...outputs]);
    return [
      {
        shader: ropeShader,
        ...packed,
        modules: [lanesModule(width), placeModule(inPlace), ...packed.modules],
        params: [
          u32(threads),
          u32(attrs.length),
          u32(attrs.heads),
          u32(halfDim / width),
          u32(headDim / width),
          f32(attrs.direction),
        ],
        workgroups: gridFor(threads),
        flops: 3 * rows * channels,
      },
    ];
  },
  /** A rotation's gradient is the rotation back. */
  backward({ graph, inputs: [, ...rotary], dOutputs: [dy], attrs }) {
    const direction = attrs.direction === 1 ? -1 : 1;
    return [graph.apply1(ropeOp, [dy!, ...rotary], { ...attrs, direction })];
  },
};

/**
 * Rotates the first R channels of each head of x[B·T, H·D] by its position (Su et al. 2021, arXiv:2104.09864). D and R
 * must be even.
 */
export function rope(graph: Graph, x: Tensor, rotary: Rotary, sizes: { length: number; heads: number }): Tensor {
  return graph.apply1(ropeOp, [x, rotary.cos, rotary.sin, ...positionInputs(rotary)], { ...sizes, direction: 1 });
}
