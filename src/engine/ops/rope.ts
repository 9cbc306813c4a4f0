import code from '../../../shaders/rope.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { f32, gridFor, u32, type Shader } from '../kernel';
import { lanesModule, placeModule } from './modules';
import { matrix } from './shape';

const shader: Shader = { name: 'rope', code };

/** Positions of the rows: `start` [B] (u32) and `length` rows a sequence; tables cos, sin [positions, D/2]. */
export interface Rotary {
  readonly start: Tensor;
  readonly cos: Tensor;
  readonly sin: Tensor;
}

interface RopeAttrs {
  readonly length: number;
  readonly heads: number;
  readonly direction: 1 | -1;
}

export const ropeOp: Op<RopeAttrs> = {
  name: 'rope',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  inPlace: [0],
  kernels({ inputs, outputs, attrs }, _, inPlace = false) {
    const [rows, channels] = matrix('rope', inputs[0]!);
    const halfDim = channels / attrs.heads / 2;
    const width = halfDim % 4 === 0 ? 4 : 1;
    const threads = (rows * channels) / 2 / width;
    return [
      {
        shader,
        modules: [lanesModule(halfDim), placeModule(inPlace)],
        params: [u32(threads), u32(attrs.length), u32(attrs.heads), u32(halfDim / width), f32(attrs.direction)],
        bindings: [inPlace ? undefined : inputs[0], ...inputs.slice(1), ...outputs],
        workgroups: gridFor(threads),
        flops: 3 * rows * channels,
      },
    ];
  },
  /** A rotation's gradient is the rotation back. */
  backward({ graph, inputs: [, start, cos, sin], dOutputs: [dy], attrs }) {
    const direction = attrs.direction === 1 ? -1 : 1;
    return [graph.apply1(ropeOp, [dy!, start!, cos!, sin!], { ...attrs, direction })];
  },
};

/** Rotates each head of x[B·T, H·D] by its position (Su et al. 2021, arXiv:2104.09864). D must be even. */
export function rope(graph: Graph, x: Tensor, rotary: Rotary, sizes: { length: number; heads: number }): Tensor {
  const { start, cos, sin } = rotary;
  return graph.apply1(ropeOp, [x, start, cos, sin], { ...sizes, direction: 1 });
}
