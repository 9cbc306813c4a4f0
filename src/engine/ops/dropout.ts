import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, gridFor, u32, vectors } from '../graph/kernel';
import { dropoutDraws, epilogueModule, lanesModule, placeModule } from './modules';
import { shader } from '../graph/shaders';

const dropoutShader = shader('dropout/dropout');

export interface DropoutAttrs {
  readonly probability: number;
  /** Tells the masks of one step apart. */
  readonly stream: number;
  /** Place of the first element in a larger tensor, of which x is some rows: the mask is that of the whole. */
  readonly offset?: number;
}

/** Inputs x, seed and an optional addend of x's shape. */
export const dropoutOp: Op<DropoutAttrs> = {
  name: 'dropout',
  cheap: true,
  inPlace: [0],
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  kernels({ inputs: [x, seed, addend], outputs: [y], attrs }, _, inPlace = false) {
    const count = elementCount(y!.shape);
    return [
      {
        shader: dropoutShader,
        modules: [lanesModule(4), placeModule(inPlace), epilogueModule(addend), dropoutDraws],
        params: [u32(vectors(count)), u32(attrs.offset ?? 0), u32(attrs.stream), f32(attrs.probability)],
        bindings: [inPlace ? undefined : x, seed, y, addend],
        workgroups: gridFor(vectors(count)),
        flops: 30 * count,
      },
    ];
  },
  /** The same mask, drawn again from the same seed. */
  backward({ graph, inputs: [, seed], dOutputs: [dy], attrs, takePartial }) {
    const addend = takePartial(0);
    return [graph.apply1(dropoutOp, [dy!, seed!, ...(addend ? [addend] : [])], attrs)];
  },
};

/** Inverted dropout of x with the mask of (seed[1] (u32), stream). */
export function dropout(graph: Graph, x: Tensor, seed: Tensor, attrs: DropoutAttrs): Tensor {
  return graph.apply1(dropoutOp, [x, seed], attrs);
}
