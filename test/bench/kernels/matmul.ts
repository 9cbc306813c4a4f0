/** Products of linears: forward X · Wᵀ and input gradient dX = dY · W, at the shapes of real layers. */
import type { WeightDType } from '../../../src/core/dtypes';
import { canQuantize } from '../../../src/core/quantization';
import { layerLinears } from '../../../src/core/spec';
import { linear, matmul } from '../../../src/engine/ops/matmul';
import { isQuantized } from '../../../src/engine/graph/tensor';
import type { Ceilings } from '../bench';
import type { BenchModel } from '../models';
import { normal, weight } from '../values';
import { affordable, kernelBench, type KernelBench } from './types';

/** Types of weights that products are benched with. A new one needs no more than its name here. */
const DTYPES: readonly WeightDType[] = ['f32', 'bf16', 'f16', 'q8', 'nf4', 'nf4_nested'];

const TOKENS = [32, 64, 128, 256, 512, 1024, 2048];

/** Elements of a result that are computed again, in f64. */
const SAMPLES = 64;

export function matmulBenches({ name: model, spec }: BenchModel, { matmul: rate }: Ceilings): KernelBench[] {
  const shapes = new Map(layerLinears(spec, 0).map((target) => [`${target.inFeatures}→${target.outFeatures}`, target]));
  return DTYPES.flatMap((dtype) =>
    [...shapes.values()].flatMap(({ inFeatures, outFeatures }) => {
      if (isQuantized(dtype) && !canQuantize([outFeatures, inFeatures])) return [];
      const tokens = affordable(TOKENS, (size) => 2 * size * inFeatures * outFeatures, rate);
      const names = { model, dtype, shape: `${tokens} × ${inFeatures} → ${outFeatures}` };
      return [forward(names, tokens, inFeatures, outFeatures), inputGradient(names, tokens, inFeatures, outFeatures)];
    }),
  );
}

interface Names {
  readonly model: string;
  readonly dtype: WeightDType;
  readonly shape: string;
}

function forward(names: Names, m: number, k: number, n: number): KernelBench {
  return kernelBench({
    names: { name: 'linear forward', ...names },
    inputs: () => ({ x: normal([m, k]), w: weight([n, k], names.dtype) }),
    build: (graph, { x, w }) => [linear(graph, x, w)],
    check: ({ x, w }, [y]) =>
      sampledError(y!, m, n, (row, column) => {
        let sum = 0;
        for (let i = 0; i < k; i++) sum += x.values[row * k + i]! * w.values[column * k + i]!;
        return sum;
      }),
    flops: { matmul: 2 * m * n * k },
  });
}

function inputGradient(names: Names, m: number, k: number, n: number): KernelBench {
  return kernelBench({
    names: { name: 'linear dX', ...names },
    inputs: () => ({ dy: normal([m, n]), w: weight([n, k], names.dtype) }),
    build: (graph, { dy, w }) => [matmul(graph, dy, w)],
    check: ({ dy, w }, [dx]) =>
      sampledError(dx!, m, k, (row, column) => {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += dy.values[row * n + i]! * w.values[i * k + column]!;
        return sum;
      }),
    flops: { matmul: 2 * m * n * k },
  });
}

/** Relative error of evenly scattered elements of c[m, n], corners included. */
export function sampledError(
  c: Float32Array,
  m: number,
  n: number,
  expected: (row: number, column: number) => number,
): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const row = Math.round((i / (SAMPLES - 1)) * (m - 1));
    const column = i === SAMPLES - 1 ? n - 1 : (i * 7919) % n;
    const value = expected(row, column);
    difference += (c[row * n + column]! - value) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(difference / norm);
}
