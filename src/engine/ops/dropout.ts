import code from '../../../shaders/dropout.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { f32, gridFor, u32, vectors, type Shader } from '../kernel';

const shader: Shader = { name: 'dropout', code };

export interface DropoutAttrs {
  readonly probability: number;
  /** Tells the masks of one step apart. */
  readonly stream: number;
}

export const dropoutOp: Op<DropoutAttrs> = {
  name: 'dropout',
  outputs: ([x]) => [{ shape: x!.shape, dtype: 'f32' }],
  kernels({ inputs, outputs, attrs }) {
    const count = elementCount(outputs[0]!.shape);
    return [
      {
        shader,
        params: [u32(vectors(count)), u32(attrs.stream), f32(attrs.probability)],
        bindings: [...inputs, ...outputs],
        workgroups: gridFor(vectors(count)),
        flops: 30 * count,
      },
    ];
  },
  /** The same mask, drawn again from the same seed. */
  backward: ({ graph, inputs: [, seed], dOutputs: [dy], attrs }) => [graph.apply1(dropoutOp, [dy!, seed!], attrs)],
};

/** Inverted dropout of x with the mask of (seed[1] (u32), stream). */
export function dropout(graph: Graph, x: Tensor, seed: Tensor, attrs: DropoutAttrs): Tensor {
  return graph.apply1(dropoutOp, [x, seed], attrs);
}
