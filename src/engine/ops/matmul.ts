import matmulCode from '../../../shaders/matmul.wgsl?raw';
import directCode from '../../../shaders/matmul_direct.wgsl?raw';
import blocksCode from '../../../shaders/matmul_blocks.wgsl?raw';
import quadCode from '../../../shaders/matmul_quad.wgsl?raw';
import matvecCode from '../../../shaders/matvec.wgsl?raw';
import type { Graph, Op, Tensor } from '../graph';
import { f32, grid, gridFor, u32, type Kernel, type KernelCapabilities, type Shader } from '../kernel';
import { epilogueModule, epilogueVec4Module, reduceModule, weightBlocks, weightModules } from './modules';
import type { Operand } from '../tensor';
import { expectShape, matrix } from './shape';

const matmulShader: Shader = { name: 'matmul', code: matmulCode };
const blocksModule: Shader = { name: 'matmul_blocks', code: blocksCode };
const directShader: Shader = { name: 'matmul_direct', code: directCode };
const quadShader: Shader = { name: 'matmul_quad', code: quadCode };
const matvecShader: Shader = { name: 'matvec', code: matvecCode };

/** Side of the tile of C that a workgroup of matmul.wgsl computes. */
const TILE = 32;

/** Side of the tile of C that a thread of matmul_direct.wgsl computes, and the threads of its workgroups. */
const DIRECT_TILE = 8;
const DIRECT_THREADS = 16;

/** Rows and columns of C that a workgroup of matmul_quad.wgsl computes, and the least sizes that it pays for. */
const QUAD_ROWS = 32;
const QUAD_COLUMNS = 64;
const QUAD_LEAST = { m: 16, n: 32, k: 64 };

/** Up to this many rows, a workgroup per output beats a tile that is mostly padding. */
const MATVEC_ROWS = 4;

interface MatmulAttrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha: number;
}

/** A product as kernels see it: tensors or rows of them. */
interface Product {
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attrs: MatmulAttrs & {
    /** C += instead of C =; there is no addend then. */
    readonly accumulate?: boolean;
  };
}

/** C = addend + alpha · op(A) · op(B). Inputs: A f32, B f32 or a weight type, and an optional f32 addend. */
export const matmulOp: Op<MatmulAttrs> = {
  name: 'matmul',
  outputs(inputs, attrs) {
    const { m, n } = extents(inputs, attrs);
    if (inputs[2]) expectShape('matmul addend', inputs[2], [m, n]);
    return [{ shape: [m, n], dtype: 'f32' }];
  },
  kernels(node, capabilities) {
    return [matmulKernel(node, capabilities)];
  },
  /** Only for C = addend + alpha · X · Wᵀ, a linear: dX = alpha · dY · W, dW = alpha · dYᵀ · X. */
  backward({ graph, inputs: [x, w], dOutputs: [dy], attrs, needs, takePartial }) {
    if (attrs.transposeA || !attrs.transposeB) throw new Error('matmul: only X · Wᵀ is differentiated');
    const { alpha } = attrs;
    // dW first: X may not be needed after it, before dX is there.
    const dw = needs(1) ? matmul(graph, dy!, x!, { transposeA: true, alpha, addend: takePartial(1) }) : undefined;
    const dx = needs(0) ? matmul(graph, dy!, w!, { alpha, addend: takePartial(0) }) : undefined;
    return [dx, dw, dy];
  },
};

/** The kernel of a product, for ops that are made of several. */
export function matmulKernel(product: Product, capabilities: KernelCapabilities): Kernel {
  return variant(product, capabilities)(product, capabilities);
}

type Variant = (product: Product, capabilities: KernelCapabilities) => Kernel;

function variant({ inputs, attrs }: Product, capabilities: KernelCapabilities): Variant {
  const { m, n, k } = extents(inputs, attrs);
  const { transposeA, transposeB } = attrs;
  const wholeVectors = n % 4 === 0 && k % 4 === 0 && (m % 4 === 0 || !transposeA);
  if (capabilities.software && wholeVectors) {
    const large = m >= QUAD_LEAST.m && n >= QUAD_LEAST.n && k >= QUAD_LEAST.k;
    return capabilities.subgroups && large ? quadKernel : directKernel;
  }
  return m <= MATVEC_ROWS && transposeB && !transposeA ? matvecKernel : tileKernel;
}

function extents([a, b]: readonly Operand[], attrs: MatmulAttrs): { m: number; n: number; k: number } {
  const [aRows, aColumns] = matrix('matmul', a!);
  const [bRows, bColumns] = matrix('matmul', b!);
  const [m, k] = attrs.transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [n, innerB] = attrs.transposeB ? [bRows, bColumns] : [bColumns, bRows];
  if (k !== innerB) throw new Error(`matmul: inner extents ${k} and ${innerB} differ`);
  return { m, n, k };
}

/** What all kernels of a product have in common. */
function product({ inputs: [a, b, addend], outputs: [c], attrs }: Product) {
  const { m, n, k } = extents([a!, b!], attrs);
  return {
    params: [u32(m), u32(n), u32(k), f32(attrs.alpha), weightBlocks(b!)],
    bindings: [a!, b!, c!, addend],
    constants: { TRANSPOSE_A: Number(attrs.transposeA), TRANSPOSE_B: Number(attrs.transposeB) },
    flops: 2 * m * n * k,
  };
}

const tileKernel: Variant = (node, capabilities) => {
  const [m, n] = node.outputs[0]!.shape as [number, number];
  return {
    ...product(node),
    shader: matmulShader,
    modules: [...weightModules(node.inputs[1]!, capabilities), epilogueModule(node.inputs[2], node.attrs.accumulate)],
    workgroups: [Math.ceil(n / TILE), Math.ceil(m / TILE), 1],
  };
};

const directKernel: Variant = (node, capabilities) => {
  const [m, n] = node.outputs[0]!.shape as [number, number];
  return {
    ...product(node),
    shader: directShader,
    modules: [
      ...weightModules(node.inputs[1]!, capabilities),
      epilogueVec4Module(node.inputs[2], node.attrs.accumulate),
      blocksModule,
    ],
    workgroups: gridFor(Math.ceil(m / DIRECT_TILE) * Math.ceil(n / DIRECT_TILE), DIRECT_THREADS),
  };
};

const quadKernel: Variant = (node, capabilities) => {
  const [m, n] = node.outputs[0]!.shape as [number, number];
  return {
    ...product(node),
    shader: quadShader,
    modules: [
      ...weightModules(node.inputs[1]!, capabilities),
      epilogueVec4Module(node.inputs[2], node.attrs.accumulate),
      blocksModule,
    ],
    workgroups: [Math.ceil(n / QUAD_COLUMNS), Math.ceil(m / QUAD_ROWS), 1],
  };
};

/** Always X · Wᵀ, so it has no orientation to be specialised by. */
const matvecKernel: Variant = (node, capabilities) => {
  const { params, bindings, flops } = product(node);
  return {
    params,
    bindings,
    flops,
    shader: matvecShader,
    modules: [
      ...weightModules(node.inputs[1]!, capabilities),
      reduceModule(capabilities),
      epilogueModule(node.inputs[2], node.attrs.accumulate),
    ],
    workgroups: grid(node.outputs[0]!.shape[1]!),
  };
};

interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly addend?: Tensor | undefined;
}

/** addend + alpha · op(a) · op(b); see `matmulOp`. */
export function matmul(graph: Graph, a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, alpha = 1, addend } = options;
  return graph.apply1(matmulOp, addend ? [a, b, addend] : [a, b], { transposeA, transposeB, alpha });
}

/** x[N, in] · w[out, in]ᵀ, times `alpha`, plus `addend` [N, out]: a linear layer without bias. */
export function linear(
  graph: Graph,
  x: Tensor,
  w: Tensor,
  options: Pick<MatmulOptions, 'alpha' | 'addend'> = {},
): Tensor {
  return matmul(graph, x, w, { ...options, transposeB: true });
}
