import { elementCount } from '../../core/dtypes';
import { DYNAMIC_BLOCK } from '../../core/dynamic-map';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, grid, gridFor, u32, type Kernel, type Param } from '../graph/kernel';
import { reduceModule } from './modules';
import { shader } from '../graph/shaders';

const adamwShader = shader('optimizer/adamw');
const adamw8bitShader = shader('optimizer/adamw_8bit');
const normShader = shader('optimizer/global_norm');
const FINITE = shader('bits/finite');
const squaresShader = shader('optimizer/sum_squares');

/** Partial sums a gradient buffer gets: enough workgroups to fill a card, few enough to add up in one. */
const PARTIALS = 256;

const partialsOf = (gradient: Tensor) => Math.min(PARTIALS, Math.ceil(elementCount(gradient.shape) / 64));

/** Outputs: the norm [1], and the partial sums (scratch). */
const globalNormOp: Op = {
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
      modules: [...modules, FINITE],
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

function adamwParams(count: number, { beta1, beta2, epsilon, weightDecay, maxNorm }: AdamWAttrs): Param[] {
  return [u32(count), f32(1 - beta1), f32(1 - beta2), f32(epsilon), f32(weightDecay), f32(maxNorm)];
}

/** Inputs: gradient, norm[1], loss[1], schedule[3], parameter, exp_avg, exp_avg_sq; the last three are written. */
export const adamwOp: Op<AdamWAttrs> = {
  name: 'adamw',
  writes: [4, 5, 6],
  outputs: () => [],
  kernels({ inputs, attrs }) {
    const count = elementCount(inputs[0]!.shape);
    return [
      {
        shader: adamwShader,
        modules: [FINITE],
        params: adamwParams(count, attrs),
        bindings: inputs,
        workgroups: gridFor(count),
        flops: 20 * count,
      },
    ];
  },
};

/**
 * The same with moments in 8 bits. Inputs: gradient[N], norm[1], loss[1], schedule[3], both dynamic maps[512],
 * parameter[N], codes (u32 [N / 2]: four of exp_avg a word, then of exp_avg_sq) and absmax[2 · N / 256]; the last three
 * are written. N is a multiple of 256.
 */
export const adamw8bitOp: Op<AdamWAttrs> = {
  name: 'adamw8bit',
  writes: [5, 6, 7],
  outputs: () => [],
  kernels({ inputs, attrs }, capabilities) {
    const count = elementCount(inputs[0]!.shape);
    if (count % DYNAMIC_BLOCK !== 0) throw new Error(`adamw8bit: ${count} elements are no whole number of blocks`);
    const blocks = count / DYNAMIC_BLOCK;
    return [
      {
        shader: adamw8bitShader,
        modules: [reduceModule(capabilities), FINITE],
        params: adamwParams(blocks, attrs),
        bindings: inputs,
        workgroups: grid(blocks),
        flops: 80 * count,
      },
    ];
  },
};
