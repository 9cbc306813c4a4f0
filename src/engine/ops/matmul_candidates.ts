/** Which kernels of a product come into question, and what is measured to choose among them. */
import type { Kernel, KernelCapabilities } from '../graph/kernel';
import type { Operand, TensorType } from '../graph/tensor';
import { ENOUGH_WORKGROUPS } from './cutting';
import {
  directKernel,
  matvecKernel,
  NARROW,
  narrowKernel,
  octetKernel,
  QUAD_LEAST,
  quadKernel,
  smallTileKernel,
  STRIP_LEAST,
  stripKernel,
  STAGE_F16,
  STAGE_F32,
  subgroupKernel,
  TILE,
  TILE_BLOCK,
  TILE_SIZES,
  tileKernel,
  type MakeKernel,
} from './matmul_kernels';
import { extents, type Extents, type MatmulAttrs, type Product, type RowBand } from './matmul_product';

const SMALL = `${TILE} × ${TILE}`;

/** Up to this many rows, a workgroup per output beats a tile that is mostly padding. */
const MATVEC_ROWS = 4;

/**
 * Up to where shapes are told apart and measured. On a CPU each extent is bounded, for a millisecond or so. A card behaves
 * as it does in earnest while it has several waves of workgroups, so there C is as large as leaves 512 of the widest
 * tiles, and K is bounded instead; 64 MiB of f32 an operand.
 */
const SOFTWARE_SAMPLE: Extents = { m: 64, n: 256, k: 256 };
const CARD_SAMPLE = { outputs: 2 ** 23, side: 2 ** 15, k: 1024, operand: 2 ** 24 };

/** The kernel of a band of rows of a product, with all that could take its place. */
export function bandKernel(product: Product, band: RowBand, capabilities: KernelCapabilities): Kernel {
  const kernels = candidates(product, band, capabilities);
  const [first] = kernels.values();
  if (kernels.size === 1) return first!;
  const sampled = sampleOf(product, capabilities);
  const sample = () => {
    const { m } = extents(sampled.inputs, sampled.attrs);
    return candidates(sampled, { first: 0, count: m }, capabilities);
  };
  return { ...first!, variants: { shapeClass: shapeClass(sampled), kernels, sample } };
}

/**
 * Kernels by name, the one to take unmeasured first. All of a list sum along K in the same order, four from the last to
 * the first and then the next four, in fused multiply-adds, so that they should give the same bits: tests hold those for
 * cards and for CPU adapters against one another on the adapters that they run on, and the tuner those of a list on every
 * other. `octets` and `strips` are alone in theirs: a test compares them with `blocks`, where an adapter has subgroups of
 * eight.
 */
function candidates(product: Product, band: RowBand, capabilities: KernelCapabilities): Map<string, Kernel> {
  const { m, n, k } = extents(product.inputs, product.attrs);
  const { transposeA } = product.attrs;
  const wholeVectors = n % 4 === 0 && k % 4 === 0 && (m % 4 === 0 || !transposeA);
  const makers: [string, MakeKernel][] = [];
  if (capabilities.software && wholeVectors) {
    const large = m >= QUAD_LEAST.m && n >= QUAD_LEAST.n && k >= QUAD_LEAST.k;
    const strip = m >= STRIP_LEAST.m && n >= STRIP_LEAST.n && k >= STRIP_LEAST.k;
    // Octets won at every size that was measured, so nothing else is compiled only to be timed beside them.
    if (capabilities.octets && large) makers.push(['octets', octetKernel]);
    else if (capabilities.octets && strip) makers.push(['strips', stripKernel]);
    else if (capabilities.subgroups && large) makers.push(['quads', quadKernel], ['blocks', directKernel]);
    else makers.push(['blocks', directKernel]);
  } else if (isMatvec(m, product.attrs)) {
    makers.push(['rows', matvecKernel]);
  } else if (wholeVectors) {
    makers.push(...tileMakers(product, { m: band.count, n, k }, capabilities));
  } else {
    makers.push([SMALL, smallTileKernel]);
  }
  return new Map(makers.map(([name, make]) => [name, make(product, band, capabilities)]));
}

/** Whether a product of m rows is for matvec/matvec.wgsl, where rows are no whole vectors or the adapter is a card. */
export function isMatvec(m: number, { transposeA, transposeB }: MatmulAttrs): boolean {
  return m <= MATVEC_ROWS && transposeB && !transposeA;
}

/** Tiles of every size. The widest that keep a card busy come first, then the others from small to wide. */
function tileMakers(
  { inputs }: Product,
  { m, n }: Extents,
  { f16, subgroups }: KernelCapabilities,
): [string, MakeKernel][] {
  const stages = f16 && inputs[1]!.dtype === 'f16' ? [STAGE_F32, STAGE_F16] : [STAGE_F32];
  const workgroups = (rows: number, columns: number) => Math.ceil(m / rows) * Math.ceil(n / columns);
  const makers = TILE_SIZES.flatMap((sizes) => {
    const [rows, columns] = [TILE_BLOCK * sizes.BLOCK_ROWS, TILE_BLOCK * sizes.BLOCK_COLUMNS];
    return stages.map((stage) => ({
      name: `${rows} × ${columns}${stage === STAGE_F16 ? ' staged in f16' : ''}`,
      workgroups: workgroups(rows, columns),
      make: tileKernel(sizes, stage),
    }));
  });
  makers.push({ name: SMALL, workgroups: workgroups(TILE, TILE), make: smallTileKernel });
  makers.push({ name: `${NARROW} × ${NARROW}`, workgroups: workgroups(NARROW, NARROW), make: narrowKernel });
  const enough = makers.filter((maker) => maker.workgroups >= ENOUGH_WORKGROUPS);
  const few = makers.filter((maker) => maker.workgroups < ENOUGH_WORKGROUPS).reverse();
  const tiles = [...enough, ...few].map(({ name, make }): [string, MakeKernel] => [name, make]);
  return subgroups ? [...tiles, ['subgroups', subgroupKernel]] : tiles;
}

/** The product that stands for all of its class: extents are the nearest powers of two, within bounds. */
function sampleOf({ inputs, attrs }: Product, { software }: KernelCapabilities): Product {
  const actual = extents(inputs, attrs);
  const { m, n, k } = software ? softwareSample(actual) : cardSample(actual);
  const tensor = (id: number, shape: [number, number], { dtype }: TensorType): Operand => {
    return { id, shape, dtype, leaf: { name: `operand ${id}`, kind: 'workspace', trainable: false } };
  };
  return {
    inputs: [
      tensor(0, attrs.transposeA ? [k, m] : [m, k], inputs[0]!),
      tensor(1, attrs.transposeB ? [n, k] : [k, n], inputs[1]!),
    ],
    outputs: [tensor(2, [m, n], inputs[0]!)],
    attrs: { ...attrs, accumulate: false },
  };
}

/** The nearest power of two within a bound, and no less than 8: fewer rows are for other kernels. */
function nearest(extent: number, bound: number): number {
  return Math.min(bound, Math.max(8, 2 ** Math.round(Math.log2(extent))));
}

function softwareSample({ m, n, k }: Extents): Extents {
  const most = SOFTWARE_SAMPLE;
  return { m: nearest(m, most.m), n: nearest(n, most.n), k: nearest(k, most.k) };
}

function cardSample(actual: Extents): Extents {
  let m = nearest(actual.m, CARD_SAMPLE.side);
  let n = nearest(actual.n, CARD_SAMPLE.side);
  while (m * n > CARD_SAMPLE.outputs) {
    if (m > n) m /= 2;
    else n /= 2;
  }
  return { m, n, k: nearest(actual.k, Math.min(CARD_SAMPLE.k, CARD_SAMPLE.operand / Math.max(m, n))) };
}

function shapeClass({ inputs, attrs }: Product): string {
  const { m, n, k } = extents(inputs, attrs);
  const orientation = `${attrs.transposeA ? 'T' : 'N'}${attrs.transposeB ? 'T' : 'N'}`;
  return `matmul ${orientation} ${inputs[1]!.dtype} ${m} × ${n} × ${k}`;
}
