/** The kernels of a product: each computes a band of rows of C, in tiles of its own. */
import { f32, grid, gridFor, rowAxisOf, u32, type Kernel, type KernelCapabilities, type Shader } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { extents, type Product, type RowBand } from './matmul_product';
import {
  biasModule,
  epilogueModule,
  laneSumsModule,
  lanesModule,
  operandModules,
  quadProductsModule,
  reduceModule,
  weightBlocks,
  weightModules,
} from './modules';

const matmulShader = shader('matmul/small');
const blocksModule = shader('matmul/blocks');
const columnsModule = shader('matmul/columns');
const directShader = shader('cpu/matmul_direct');
const ownRowsModule = shader('cpu/own_rows');
const stripShader = shader('cpu/matmul_strip');
const shareModule = shader('cpu/quad_share');
const quadRowsModule = shader('cpu/quad_rows');
const octetShareModule = shader('cpu/octet_share');
const octetRowsModule = shader('cpu/octet_rows');
const quadShader = shader('cpu/matmul_quad');
const narrowShader = shader('matmul/narrow');
const subgroupShader = shader('matmul/subgroup');
const tileShader = shader('matmul/tile');
const matvecShader = shader('matvec/matvec');
export const STAGE_F32 = shader('matmul/stage_f32');
export const STAGE_F16 = shader('matmul/stage_f16');

/** Side of the tile of C that a workgroup of matmul/small.wgsl computes. */
export const TILE = 32;

/** Side of the tile of C that a thread of cpu/matmul_direct.wgsl computes, and the threads of its workgroups. */
const DIRECT_TILE = 8;
const DIRECT_THREADS = 16;

/** Rows and columns of C that eight lanes of cpu/matmul_quad.wgsl compute, and the least sizes that it pays for. */
const QUAD_ROWS = 16;
const QUAD_COLUMNS = 64;
export const QUAD_LEAST = { m: 16, n: 32, k: 16 };

/** Rows and columns of C that a workgroup of cpu/matmul_strip.wgsl computes, and the least sizes that it pays for. */
const STRIP_ROWS = 64;
const STRIP_COLUMNS = 16;
export const STRIP_LEAST = { m: 32, n: 12, k: 16 };

/** Rows and columns of C that a workgroup of matmul/subgroup.wgsl computes. */
const SUBGROUP_TILE = 64;

/** Side of the tile of C that a workgroup of matmul/narrow.wgsl computes. */
export const NARROW = 16;

/** Rows and columns of C for a block each way of a thread of matmul/tile.wgsl. */
export const TILE_BLOCK = 64;

/**
 * Sizes of matmul/tile.wgsl, wide ones first: the tiles are at most 16 KiB, WebGPU's default limit on workgroup memory,
 * and no more blocks than the 256 threads.
 */
export const TILE_SIZES = [
  { BLOCK_ROWS: 2, BLOCK_COLUMNS: 2, TILE_K: 16 },
  { BLOCK_ROWS: 2, BLOCK_COLUMNS: 1, TILE_K: 16 },
  { BLOCK_ROWS: 1, BLOCK_COLUMNS: 1, TILE_K: 32 },
] as const;

export type MakeKernel = (product: Product, band: RowBand, capabilities: KernelCapabilities) => Kernel;

/** What all kernels of a product have in common. `rowAxis`: the axis of its workgroups that rows of C lie along. */
function common(
  { inputs, outputs, attrs, bias, dropped, rows }: Product,
  band: RowBand,
  rowAxis?: 0 | 1,
  tileRows?: number,
) {
  const [a, b, addend] = inputs;
  const { m, n, k } = extents(inputs, attrs);
  return {
    params: [
      ...[u32(m), u32(n), u32(k), f32(attrs.alpha), weightBlocks(b!), u32(band.first), u32(band.count)],
      ...[u32(dropped?.offset ?? 0), u32(dropped?.stream ?? 0), f32(dropped?.probability ?? 0)],
    ],
    bindings: [a!, b!, outputs[0]!, ...(dropped ? [addend, bias, dropped.seed] : bias ? [addend, bias] : [addend])],
    constants: { TRANSPOSE_A: Number(attrs.transposeA), TRANSPOSE_B: Number(attrs.transposeB) },
    flops: 2 * band.count * n * k,
    // Rows of A are summed over where it is transposed: then they are all there, or none.
    ...(rows !== undefined && {
      rows: attrs.transposeA
        ? { first: rows, count: k }
        : { first: rows + band.first, count: band.count, axis: rowAxis, tileRows },
    }),
  };
}

function productEpilogue({ inputs, attrs, bias }: Product): Shader {
  return bias ? biasModule(inputs[2]) : epilogueModule(inputs[2], attrs.accumulate);
}

/** Modules of the kernels that stand on matmul/blocks.wgsl. */
function blockModules(product: Product, capabilities: KernelCapabilities): Shader[] {
  const operands = operandModules(product.inputs[1]!, product.dropped?.operand, 4, capabilities);
  return [...operands, lanesModule(4), productEpilogue(product), blocksModule];
}

/** A workgroup for each tile of that many rows and columns: columns along x, rows along y. */
function tiled(product: Product, band: RowBand, rows: number, columns: number) {
  const [, n] = product.outputs[0]!.shape as [number, number];
  return {
    ...common(product, band, 1),
    workgroups: [Math.ceil(n / columns), Math.ceil(band.count / rows), 1] as const,
  };
}

export function tileKernel(sizes: (typeof TILE_SIZES)[number], stage: Shader): MakeKernel {
  return (product, band, capabilities) => ({
    ...tiled(product, band, TILE_BLOCK * sizes.BLOCK_ROWS, TILE_BLOCK * sizes.BLOCK_COLUMNS),
    shader: tileShader,
    modules: [...blockModules(product, capabilities), columnsModule, stage],
    sizes,
  });
}

export const narrowKernel: MakeKernel = (product, band, capabilities) => ({
  ...tiled(product, band, NARROW, NARROW),
  shader: narrowShader,
  modules: [...blockModules(product, capabilities), columnsModule],
});

/** For rows of any number of elements. */
export const smallTileKernel: MakeKernel = (product, band, capabilities) => ({
  ...tiled(product, band, TILE, TILE),
  shader: matmulShader,
  modules: [
    ...operandModules(product.inputs[1]!, product.dropped?.operand, 1, capabilities),
    lanesModule(1),
    productEpilogue(product),
  ],
});

export const directKernel: MakeKernel = (product, band, capabilities) => {
  const [, n] = product.outputs[0]!.shape as [number, number];
  const tiles = Math.ceil(band.count / DIRECT_TILE) * Math.ceil(n / DIRECT_TILE);
  const workgroups = gridFor(tiles, DIRECT_THREADS);
  return {
    ...common(product, band, rowAxisOf(workgroups), DIRECT_TILE),
    shader: directShader,
    modules: [...blockModules(product, capabilities), ownRowsModule],
    workgroups,
  };
};

/** `rowModules`: how lanes share the rows of A that they load. */
function sharedRowsKernel(rowModules: readonly Shader[]): MakeKernel {
  return (product, band, capabilities) => {
    const octets = band.count > QUAD_ROWS ? 2 : 1;
    return {
      ...tiled(product, band, octets * QUAD_ROWS, QUAD_COLUMNS),
      shader: quadShader,
      modules: [...blockModules(product, capabilities), ...rowModules, quadProductsModule(product.inputs[1]!)],
      sizes: { OCTETS: octets },
    };
  };
}

export const quadKernel = sharedRowsKernel([shareModule, quadRowsModule]);
export const octetKernel = sharedRowsKernel([octetShareModule, octetRowsModule]);

export const stripKernel: MakeKernel = (product, band, capabilities) => ({
  ...tiled(product, band, STRIP_ROWS, STRIP_COLUMNS),
  shader: stripShader,
  modules: [...blockModules(product, capabilities), ownRowsModule, octetShareModule],
});

export const subgroupKernel: MakeKernel = (product, band, capabilities) => ({
  ...tiled(product, band, SUBGROUP_TILE, SUBGROUP_TILE),
  shader: subgroupShader,
  modules: blockModules(product, capabilities),
});

/** Always X · Wᵀ, so it has no orientation to be specialised by; of all rows, which are few. */
export const matvecKernel: MakeKernel = (product, band, capabilities) => {
  const { params, bindings, flops, rows: present } = common(product, band);
  const [rows, columns] = product.outputs[0]!.shape as [number, number];
  return {
    params,
    bindings,
    flops,
    rows: present,
    shader: matvecShader,
    modules: [
      ...weightModules(product.inputs[1]!, capabilities),
      reduceModule(capabilities),
      laneSumsModule(product.inputs[1]!),
      lanesModule(1),
      productEpilogue(product),
    ],
    sizes: { ROWS: rows },
    workgroups: grid(columns),
  };
};
