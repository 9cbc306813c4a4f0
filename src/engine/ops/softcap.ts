/** Soft caps, cap · tanh(x / cap), of Gemma 2 (arXiv:2408.00118): within other kernels, and of logits as a whole. */
import { elementCount } from '../../core/dtypes';
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, gridFor, u32, vectors, type Param, type Shader } from '../graph/kernel';
import { lanesModule, placeModule } from './modules';
import { shader } from '../graph/shaders';

const NO_CAP = shader('cap/none');
const SOFT_CAP = shader('cap/soft');
const softcapShader = shader('pointwise/softcap');

/** `capped(x)` and `cap_gradient(gradient, x)` for `width` elements at once. The shader's Params have `softcap`. */
export function capModules(softcap: number | undefined, width: 1 | 4): Shader[] {
  return [lanesModule(width), softcap === undefined ? NO_CAP : SOFT_CAP];
}

export function capParam(softcap: number | undefined): Param {
  return f32(softcap ?? 0);
}

/** A cap is a positive number: anything else is a programming error, and says which op saw it. */
export function expectCap(op: string, softcap: number | undefined): void {
  if (softcap !== undefined && !(softcap > 0)) throw new Error(`${op}: a soft cap of ${softcap}`);
}

/** Of logits that are handed out; those of a loss are capped within it, so there is no backward rule. */
const softcapOp: Op<{ readonly softcap: number }> = {
  name: 'softcap',
  outputs([x], { softcap }) {
    expectCap('softcap', softcap);
    return [{ shape: x!.shape, dtype: 'f32' }];
  },
  inPlace: [0],
  kernels({ inputs: [x], outputs: [y], attrs }, _, inPlace = false) {
    const count = vectors(elementCount(y!.shape));
    return [
      {
        shader: softcapShader,
        modules: [...capModules(attrs.softcap, 4), placeModule(inPlace)],
        params: [u32(count), capParam(attrs.softcap)],
        bindings: [inPlace ? undefined : x!, y!],
        workgroups: gridFor(count),
        flops: 80 * count,
      },
    ];
  },
};

/** cap · tanh(x / cap), f32 of x's shape; not differentiable. */
export function softcap(graph: Graph, x: Tensor, cap: number): Tensor {
  return graph.apply1(softcapOp, [x], { softcap: cap });
}
