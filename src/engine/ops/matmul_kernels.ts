/** The kernels of a product, and which of them come into question. */
import { f32, grid, gridFor, u32, type Kernel, type KernelCapabilities, type Shader } from '../graph/kernel';
import type { Operand, TensorType } from '../graph/tensor';
import {
  epilogueModule,
  laneSumsModule,
  lanesModule,
  quadProductsModule,
  reduceModule,
  weightBlocks,
  weightModules,
} from './modules';
import { matrix } from './shape';
import { shader } from '../graph/shaders';

const matmulShader = shader('matmul/small');
const blocksModule = shader('matmul/blocks');
const columnsModule = shader('matmul/columns');
const directShader = shader('cpu/matmul_direct');
const shareModule = shader('cpu/quad_share');
const quadShader = shader('cpu/matmul_quad');
const narrowShader = shader('matmul/narrow');
const subgroupShader = shader('matmul/subgroup');
const tileShader = shader('matmul/tile');
const matvecShader = shader('matvec/matvec');
const STAGE_F32 = shader('matmul/stage_f32');
const STAGE_F16 = shader('matmul/stage_f16');

/** Side of the tile of C that a workgroup of matmul/small.wgsl computes. */
const TILE = 32;
const SMALL = `${TILE} × ${TILE}`;

/** Side of the tile of C that a thread of cpu/matmul_direct.wgsl computes, and the threads of its workgroups. */
const DIRECT_TILE = 8;
const DIRECT_THREADS = 16;

/** Rows and columns of C that a workgroup of cpu/matmul_quad.wgsl computes, and the least sizes that it pays for. */
const QUAD_ROWS = 32;
const QUAD_COLUMNS = 64;
const QUAD_LEAST = { m: 16, n: 32, k: 64 };

/** Rows and columns of C that a workgroup of matmul/subgroup.wgsl computes. */
const SUBGROUP_TILE = 64;

/** Side of the tile of C that a workgroup of matmul/narrow.wgsl computes. */
const NARROW = 16;

/** Rows and columns of C for a block each way of a thread of matmul/tile.wgsl. */
const TILE_BLOCK = 64;

/**
 * Sizes of matmul/tile.wgsl, wide ones first: the tiles are at most 16 KiB, WebGPU's default limit on workgroup memory,
 * and no more blocks than the 256 threads.
 */
const TILE_SIZES = [
  { BLOCK_ROWS: 2, BLOCK_COLUMNS: 2, TILE_K: 16 },
  { BLOCK_ROWS: 2, BLOCK_COLUMNS: 1, TILE_K: 16 },
  { BLOCK_ROWS: 1, BLOCK_COLUMNS: 1, TILE_K: 32 },
] as const;

/** Where nothing is measured, tiles are as wide as leaves a card this many workgroups. */
const ENOUGH_WORKGROUPS = 96;

/** Up to this many rows, a workgroup per output beats a tile that is mostly padding. */
const MATVEC_ROWS = 4;

/** Extents up to which shapes are told apart and measured: 32 MiB of f32 on a card, a millisecond or so on a CPU. */
const CARD_SAMPLE: Extents = { m: 1024, n: 2048, k: 2048 };
const SOFTWARE_SAMPLE: Extents = { m: 64, n: 256, k: 256 };

export interface MatmulAttrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha: number;
}

/** A product as kernels see it: C = addend + alpha · op(A) · op(B), of tensors or rows of them. */
export interface Product {
  /** A, B, and the addend where there is one. */
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attrs: MatmulAttrs & {
    /** C += instead of C =; there is no addend then. */
    readonly accumulate?: boolean;
  };
}

interface Extents {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

type MakeKernel = (product: Product, capabilities: KernelCapabilities) => Kernel;

/** The kernel of a product, with all that could take its place. */
export function matmulKernel(product: Product, capabilities: KernelCapabilities): Kernel {
  const kernels = candidates(product, capabilities);
  const [first] = kernels.values();
  if (kernels.size === 1) return first!;
  const sampled = sampleOf(product, capabilities);
  const sample = () => candidates(sampled, capabilities);
  return { ...first!, variants: { shapeClass: shapeClass(sampled), kernels, sample } };
}

/**
 * Kernels by name, the one to take unmeasured first. All of a list sum along K in the same order, four from the last to
 * the first and then the next four, in fused multiply-adds: they give the same bits.
 */
function candidates(product: Product, capabilities: KernelCapabilities): Map<string, Kernel> {
  const { m, n, k } = extents(product.inputs, product.attrs);
  const { transposeA, transposeB } = product.attrs;
  const wholeVectors = n % 4 === 0 && k % 4 === 0 && (m % 4 === 0 || !transposeA);
  const makers: [string, MakeKernel][] = [];
  if (capabilities.software && wholeVectors) {
    const large = m >= QUAD_LEAST.m && n >= QUAD_LEAST.n && k >= QUAD_LEAST.k;
    if (capabilities.subgroups && large) makers.push(['quads', quadKernel]);
    makers.push(['blocks', directKernel]);
  } else if (m <= MATVEC_ROWS && transposeB && !transposeA) {
    makers.push(['rows', matvecKernel]);
  } else if (wholeVectors) {
    makers.push(...tileMakers(product, { m, n, k }, capabilities));
  } else {
    makers.push([SMALL, smallTileKernel]);
  }
  return new Map(makers.map(([name, make]) => [name, make(product, capabilities)]));
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

export function extents([a, b]: readonly TensorType[], attrs: MatmulAttrs): Extents {
  const [aRows, aColumns] = matrix('matmul', a!);
  const [bRows, bColumns] = matrix('matmul', b!);
  const [m, k] = attrs.transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [n, innerB] = attrs.transposeB ? [bRows, bColumns] : [bColumns, bRows];
  if (k !== innerB) throw new Error(`matmul: inner extents ${k} and ${innerB} differ`);
  return { m, n, k };
}

/** The product that stands for all of its class: extents are the nearest powers of two, within bounds. */
function sampleOf({ inputs, attrs }: Product, { software }: KernelCapabilities): Product {
  const actual = extents(inputs, attrs);
  const most = software ? SOFTWARE_SAMPLE : CARD_SAMPLE;
  // No fewer than 8: fewer rows are for other kernels.
  const nearest = (extent: number, bound: number) => Math.min(bound, Math.max(8, 2 ** Math.round(Math.log2(extent))));
  const [m, n, k] = [nearest(actual.m, most.m), nearest(actual.n, most.n), nearest(actual.k, most.k)];
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

function shapeClass({ inputs, attrs }: Product): string {
  const { m, n, k } = extents(inputs, attrs);
  const orientation = `${attrs.transposeA ? 'T' : 'N'}${attrs.transposeB ? 'T' : 'N'}`;
  return `matmul ${orientation} ${inputs[1]!.dtype} ${m} × ${n} × ${k}`;
}

/** What all kernels of a product have in common. */
function common({ inputs: [a, b, addend], outputs: [c], attrs }: Product) {
  const { m, n, k } = extents([a!, b!], attrs);
  return {
    params: [u32(m), u32(n), u32(k), f32(attrs.alpha), weightBlocks(b!)],
    bindings: [a!, b!, c!, addend],
    constants: { TRANSPOSE_A: Number(attrs.transposeA), TRANSPOSE_B: Number(attrs.transposeB) },
    flops: 2 * m * n * k,
  };
}

/** Modules of the kernels that stand on matmul/blocks.wgsl. */
function blockModules({ inputs, attrs }: Product, capabilities: KernelCapabilities): Shader[] {
  const epilogue = epilogueModule(inputs[2], attrs.accumulate);
  return [...weightModules(inputs[1]!, capabilities), lanesModule(4), epilogue, blocksModule];
}

function tileKernel(sizes: (typeof TILE_SIZES)[number], stage: Shader): MakeKernel {
  return (product, capabilities) => {
    const [m, n] = product.outputs[0]!.shape as [number, number];
    const { BLOCK_ROWS, BLOCK_COLUMNS } = sizes;
    return {
      ...common(product),
      shader: tileShader,
      modules: [...blockModules(product, capabilities), columnsModule, stage],
      sizes,
      workgroups: [Math.ceil(n / (TILE_BLOCK * BLOCK_COLUMNS)), Math.ceil(m / (TILE_BLOCK * BLOCK_ROWS)), 1],
    };
  };
}

const narrowKernel: MakeKernel = (product, capabilities) => {
  const [m, n] = product.outputs[0]!.shape as [number, number];
  return {
    ...common(product),
    shader: narrowShader,
    modules: [...blockModules(product, capabilities), columnsModule],
    workgroups: [Math.ceil(n / NARROW), Math.ceil(m / NARROW), 1],
  };
};

/** For rows of any number of elements. */
const smallTileKernel: MakeKernel = (product, capabilities) => {
  const [m, n] = product.outputs[0]!.shape as [number, number];
  return {
    ...common(product),
    shader: matmulShader,
    modules: [
      ...weightModules(product.inputs[1]!, capabilities),
      lanesModule(1),
      epilogueModule(product.inputs[2], product.attrs.accumulate),
    ],
    workgroups: [Math.ceil(n / TILE), Math.ceil(m / TILE), 1],
  };
};

const directKernel: MakeKernel = (product, capabilities) => {
  const [m, n] = product.outputs[0]!.shape as [number, number];
  return {
    ...common(product),
    shader: directShader,
    modules: blockModules(product, capabilities),
    workgroups: gridFor(Math.ceil(m / DIRECT_TILE) * Math.ceil(n / DIRECT_TILE), DIRECT_THREADS),
  };
};

const quadKernel: MakeKernel = (product, capabilities) => {
  const [m, n] = product.outputs[0]!.shape as [number, number];
  return {
    ...common(product),
    shader: quadShader,
    modules: [...blockModules(product, capabilities), shareModule, quadProductsModule(product.inputs[1]!)],
    workgroups: [Math.ceil(n / QUAD_COLUMNS), Math.ceil(m / QUAD_ROWS), 1],
  };
};

const subgroupKernel: MakeKernel = (product, capabilities) => {
  const [m, n] = product.outputs[0]!.shape as [number, number];
  return {
    ...common(product),
    shader: subgroupShader,
    modules: blockModules(product, capabilities),
    workgroups: [Math.ceil(n / SUBGROUP_TILE), Math.ceil(m / SUBGROUP_TILE), 1],
  };
};

/** Always X · Wᵀ, so it has no orientation to be specialised by. */
const matvecKernel: MakeKernel = (product, capabilities) => {
  const { params, bindings, flops } = common(product);
  const [rows, columns] = product.outputs[0]!.shape as [number, number];
  return {
    params,
    bindings,
    flops,
    shader: matvecShader,
    modules: [
      ...weightModules(product.inputs[1]!, capabilities),
      reduceModule(capabilities),
      laneSumsModule(product.inputs[1]!),
      lanesModule(1),
      epilogueModule(product.inputs[2], product.attrs.accumulate),
    ],
    sizes: { ROWS: rows },
    workgroups: grid(columns),
  };
};
