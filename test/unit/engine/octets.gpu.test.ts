/** The kernels for subgroups of eight lanes, which lavapipe has for vectors as wide as programs other than tests take. */
import { describe, expect, it } from 'vitest';
import type { WeightDType } from '../../../src/core/dtypes';
import { fuseDropouts } from '../../../src/engine/compile/dropout';
import { dropout } from '../../../src/engine/ops/dropout';
import { linear, matmul } from '../../../src/engine/ops/matmul';
import * as reference from '../../reference/matmul';
import { relativeError } from '../../support/compare';
import { testGpu } from '../../support/gpu';
import { openRunner, runGraph } from '../../support/graph-runner';
import { normal } from './cases/types';

// Before the driver is first asked.
process.env['LP_NATIVE_VECTOR_WIDTH'] = '256';
process.env['MESA_SHADER_CACHE_DISABLE'] = 'true';
const { gpu } = await testGpu();
const runner = await openRunner(gpu);

const PRODUCTS: readonly { dtype: WeightDType; transposeA: boolean; transposeB: boolean }[] = [
  { dtype: 'f32', transposeA: false, transposeB: true },
  { dtype: 'bf16', transposeA: false, transposeB: false },
  { dtype: 'f32', transposeA: true, transposeB: false },
  { dtype: 'nf4', transposeA: false, transposeB: true },
  { dtype: 'nf4_nested', transposeA: false, transposeB: false },
];

/** Rows and columns past the last whole tile, and fewer than a tile has. */
const SHAPES = [
  { m: 140, n: 128, k: 64 },
  { m: 20, n: 320, k: 128 },
];

/** Columns that are too few for a tile of octets: `strips`. */
const NARROW_SHAPES = [
  { m: 140, n: 16, k: 64 },
  { m: 36, n: 20, k: 128 },
];

const CASES = [
  ...SHAPES.map((shape) => ({ ...shape, variant: 'octets' })),
  ...NARROW_SHAPES.map((shape) => ({ ...shape, variant: 'strips' })),
];

// Without subgroups there is nothing to share by; SwiftShader's have four lanes.
describe.skipIf(!runner.capabilities.octets)('subgroups of eight', () => {
  it.each(PRODUCTS.flatMap((product) => CASES.map((shape) => ({ ...product, ...shape }))))(
    '$variant give the bits of blocks: $dtype, A transposed $transposeA, B transposed $transposeB, $m × $n × $k',
    async ({ variant, dtype, transposeA, transposeB, m, n, k }) => {
      const inputs = {
        a: normal(transposeA ? [k, m] : [m, k]),
        b: normal(transposeB ? [n, k] : [k, n], 1, dtype),
      };
      const options = { transposeA, transposeB, alpha: Math.fround(0.7) };
      const product = async (name: string) => {
        const capabilities = { ...runner.capabilities, octets: name === variant };
        const { c } = await runGraph({ ...runner, capabilities, variant: name }, inputs, (graph, { a, b }) => ({
          c: matmul(graph, a, b, options),
        }));
        return c;
      };
      const shared = await product(variant);
      const expected = reference.matmul(inputs.a.values, inputs.b.values, { ...options, m, n, k });
      expect(relativeError(shared, expected)).toBeLessThan(1e-5);
      expect(shared).toEqual(await product('blocks'));
    },
  );

  it('draws what is dropped as it loads either operand', async () => {
    const inputs = {
      x: normal([140, 64]),
      a: normal([16, 64]),
      du: normal([140, 16]),
      seed: { shape: [1], dtype: 'u32', values: Uint32Array.of(77) } as const,
    };
    const run = (fuse: boolean) =>
      runGraph(runner, inputs, (graph, { x, a, du, seed }) => {
        const drop = () => dropout(graph, x, seed, { probability: 0.25, stream: 2 });
        const strips = graph.keep(linear(graph, drop(), a));
        const octets = graph.keep(matmul(graph, du, drop(), { transposeA: true }));
        if (fuse) fuseDropouts(graph);
        return { strips, octets };
      });
    expect(await run(true)).toEqual(await run(false));
  });
});
