import adamwCode from '../../../shaders/adamw.wgsl?raw';
import normCode from '../../../shaders/global_norm.wgsl?raw';
import squaresCode from '../../../shaders/sum_squares.wgsl?raw';
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph';
import { f32, gridFor, u32, type Kernel, type Shader } from '../kernel';
import { reduceModule } from './modules';

const adamwShader: Shader = { name: 'adamw', code: adamwCode };
const normShader: Shader = { name: 'global_norm', code: normCode };
const squaresShader: Shader = { name: 'sum_squares', code: squaresCode };

/** Partial sums a gradient buffer gets: enough workgroups to fill a card, few enough to add up in one. */
const PARTIALS = 256;

const partialsOf = (gradient: Tensor) => Math.min(PARTIALS, Math.ceil(elementCount(gradient.shape) / 64));

/** Outputs: the norm [1], and the partial sums (scratch). */
export const globalNormOp: Op = {
  name: 'globalNorm',
  scratchFrom: 1,
  outputs: (gradients) => [
    { shape: [1], dtype: 'f32' },
    { shape: [gradients.reduce((sum, gradient) => sum + partialsOf(gradient), 0)], dtype: 'f32' },
  ],
  kernels({ inputs, outputs: [norm, partials] }, capabilities) {
    const modules = [reduceModule(capabilities)];
    let offset = 0;
    const squares = inputs.map((gradient): Kernel => {
      const count = elementCount(gradient.shape);
      const groups = partialsOf(gradient);
      const params = [u32(count), u32(offset)];
      offset += groups;
      return {
        shader: squaresShader,
        modules,
        params,
        bindings: [gradient, partials!],
        workgroups: [groups, 1, 1],
        flops: 2 * count,
      };
    });
    const total: Kernel = {
      shader: normShader,
      modules,
      params: [u32(offset)],
      bindings: [partials!, norm!],
      workgroups: [1, 1, 1],
      flops: 2 * offset,
    };
    return [...squares, total];
  },
};

/** The L2 norm over all gradients together, f32 [1]. */
export function globalNorm(graph: Graph, gradients: readonly Tensor[]): Tensor {
  return graph.apply1(globalNormOp, gradients, undefined);
}

export interface AdamWAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Gradients are scaled down to this global norm; 0 leaves them. */
  readonly maxNorm: number;
}

/** Inputs: gradient, norm[1], loss[1], schedule[3], parameter, exp_avg, exp_avg_sq; the last three are written. */
export const adamwOp: Op<AdamWAttrs> = {
  name: 'adamw',
  writes: [4, 5, 6],
  outputs: () => [],
  kernels({ inputs, attrs }) {
    const count = elementCount(inputs[0]!.shape);
    const { beta1, beta2, epsilon, weightDecay, maxNorm } = attrs;
    return [
      {
        shader: adamwShader,
        params: [u32(count), f32(1 - beta1), f32(1 - beta2), f32(epsilon), f32(weightDecay), f32(maxNorm)],
        bindings: inputs,
        workgroups: gridFor(count),
        flops: 20 * count,
      },
    ];
  },
};
