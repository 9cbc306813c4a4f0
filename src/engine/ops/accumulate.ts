/** Sums in persistent leaves: a value added to one, and ops that add their value themselves. */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32, vectors, type Kernel, type KernelCapabilities } from '../graph/kernel';
import type { TensorType } from '../graph/tensor';
import { sameShape } from './shape';
import { shader } from '../graph/shaders';

const accumulateShader = shader('pointwise/accumulate');

const accumulateOp: Op = {
  name: 'accumulate',
  writes: [1],
  outputs([x, total]) {
    sameShape('accumulate', x!, total!);
    return [];
  },
  kernels({ inputs }) {
    const count = elementCount(inputs[0]!.shape);
    return [
      {
        shader: accumulateShader,
        params: [u32(count)],
        bindings: inputs,
        workgroups: gridFor(vectors(count)),
        flops: count,
      },
    ];
  },
};

/** total += x, in place; `total` is a persistent leaf. */
export function accumulate(graph: Graph, x: Tensor, total: Tensor): void {
  graph.apply(accumulateOp, [x, total], undefined);
}

/** A gradient's one value: its shape, and the kernel that stores it in `y` or, with `accumulate`, adds it to what is there. */
export interface Summand<A> {
  readonly name: string;
  output(inputs: readonly Tensor[], attrs: A): TensorType;
  kernel(inputs: readonly Tensor[], y: Tensor, attrs: A, capabilities: KernelCapabilities, accumulate: boolean): Kernel;
}

/**
 * The op of a gradient in both its forms: applied without `total`, it gives the value; with one, a persistent leaf of
 * the value's shape, it adds to that and gives nothing.
 */
export function summandOp<A>({ name, output, kernel }: Summand<A>) {
  const value: Op<A> = {
    name,
    outputs: (inputs, attrs) => [output(inputs, attrs)],
    kernels: ({ inputs, outputs: [y], attrs }, capabilities) => [kernel(inputs, y!, attrs, capabilities, false)],
  };
  const adding = (total: number): Op<A> => ({
    name: `${name}Sum`,
    writes: [total],
    outputs(inputs, attrs) {
      sameShape(`${name}Sum`, inputs[total]!, output(inputs.slice(0, total), attrs));
      return [];
    },
    kernels: ({ inputs, attrs }, capabilities) => [
      kernel(inputs.slice(0, total), inputs[total]!, attrs, capabilities, true),
    ],
  });
  return (graph: Graph, inputs: readonly Tensor[], attrs: A, total?: Tensor): Tensor | undefined => {
    if (!total) return graph.apply1(value, inputs, attrs);
    graph.apply(adding(inputs.length), [...inputs, total], attrs);
    return undefined;
  };
}
