/** A product as dispatches that each compute a band of rows of C: no sum changes, so that the bits are those of one. */
import type { Kernel, KernelCapabilities } from '../graph/kernel';
import { dispatchesFor, dispatchFlops } from './cutting';
import { bandKernel } from './matmul_candidates';
import { extents, type Product, type RowBand } from './matmul_product';

/** Whole tiles of every kernel. */
const BAND_STEP = 128;

/** The sides of the tile that workgroups are counted by: an average one. */
const COUNTED_TILE = 64;

/** The kernels of a product, which may run in any order: as many as it takes, or so many (tests). */
export function matmulKernels(product: Product, capabilities: KernelCapabilities, dispatches?: number): Kernel[] {
  const { m, n, k } = extents(product.inputs, product.attrs);
  const work = {
    flops: 2 * m * n * k,
    workgroups: Math.ceil(m / COUNTED_TILE) * Math.ceil(n / COUNTED_TILE),
    pieces: Math.ceil(m / BAND_STEP),
  };
  const count = dispatches ?? dispatchesFor(work, dispatchFlops(capabilities.rates?.products));
  return bandsOf(m, count).map((band) => bandKernel(product, band, capabilities));
}

function bandsOf(m: number, dispatches: number): RowBand[] {
  const steps = Math.ceil(m / BAND_STEP);
  const bands = Math.min(steps, dispatches);
  return Array.from({ length: bands }, (_, i) => {
    const first = BAND_STEP * Math.floor((i * steps) / bands);
    const end = Math.min(m, BAND_STEP * Math.floor(((i + 1) * steps) / bands));
    return { first, count: end - first };
  });
}
