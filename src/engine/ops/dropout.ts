import code from '../../../shaders/dropout.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { f32, gridFor, u32, vectors, type Shader } from '../kernel';
import { epilogueLanesModule, lanesModule } from './modules';

const shader: Shader = { name: 'dropout', code };

export interface DropoutAttrs {
  readonly probability: number;
  /** Tells the masks of one step apart. */
  readonly stream: number;
}

/** Inputs x, seed and an optional addend of x's shape. */
export const dropoutOp: Op<DropoutAttrs> = {
  name: 'dropout',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  kernels({ inputs: [x, seed, addend], outputs, attrs }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader,
        modules: [lanesModule(4), epilogueLanesModule(addend)],
        params: [u32(vectors(count)), u32(attrs.stream), f32(attrs.probability)],
        bindings: [x!, seed!, outputs[0]!, addend],
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
