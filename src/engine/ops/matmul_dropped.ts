/** Products of which one operand is dropout of a tensor, drawn as it is loaded: what `compile/dropout.ts` makes of the two. */
import type { Op } from '../graph/graph';
import { matmulOp } from './matmul';
import { matmulKernels } from './matmul_cutting';
import type { DroppedOperand, MatmulAttrs } from './matmul_product';

export interface DroppedMatmulAttrs extends MatmulAttrs {
  readonly dropped: DroppedOperand;
}

/** As `matmulOp`, with the leaf of seeds as the last input. */
export const droppedMatmulOp: Op<DroppedMatmulAttrs> = {
  name: 'matmul',
  outputs: (inputs, attrs) => matmulOp.outputs(inputs.slice(0, -1), attrs),
  kernels: ({ inputs, outputs, attrs }, capabilities) => {
    const dropped = { ...attrs.dropped, seed: inputs.at(-1)! };
    return matmulKernels({ inputs: inputs.slice(0, -1), outputs, attrs, dropped }, capabilities);
  },
};

/** As `matmulSumOp`, with the leaf of seeds as the last input. */
export const droppedMatmulSumOp: Op<DroppedMatmulAttrs> = {
  name: 'matmulSum',
  writes: [2],
  outputs: () => [],
  kernels: ({ inputs: [a, b, total, seed], attrs }, capabilities) => {
    const dropped = { ...attrs.dropped, seed: seed! };
    const product = { inputs: [a!, b!], outputs: [total!], attrs: { ...attrs, accumulate: true }, dropped };
    return matmulKernels(product, capabilities);
  },
};
