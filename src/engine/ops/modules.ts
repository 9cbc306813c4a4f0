/** Prelude modules that kernels are specialised with: how weights are read, how a workgroup reduces, what a store does. */
import type { WeightDType } from '../../core/dtypes';
import { BLOCK_SIZE, quantizedLayout } from '../../core/quantization';
import { u32, type KernelCapabilities, type Param, type Shader } from '../graph/kernel';
import { isQuantized, type Operand, type TensorType } from '../graph/tensor';
import { shader } from '../graph/shaders';

const F32 = shader('types/f32');
const F16 = shader('types/f16');
const F16_WORDS = shader('types/f16_words');
const BF16_WORDS = shader('types/bf16_words');
const NF4 = shader('types/nf4');
const NF4_TABLE = shader('types/nf4_table');
const NF4_TREE = shader('types/nf4_tree');
const MATVEC_ELEMENTS = shader('matvec/elements');
const MATVEC_NF4 = shader('matvec/nf4');
const MATVEC_VECTORS = shader('matvec/vectors');
const QUAD_PRODUCTS = shader('cpu/quad_products');
const QUAD_PRODUCTS_NF4 = shader('cpu/quad_products_nf4');
const Q8 = shader('types/q8');
const SCALE_F32 = shader('types/scale_f32');
const SCALE_NESTED = shader('types/scale_nested');
const APART = shader('place/apart');
const SAME = shader('place/same');
const PAIR_APART = shader('place/pair_apart');
const PAIR_SAME = shader('place/pair_same');
const SHARED = shader('reduce/shared');
const SUBGROUP = shader('reduce/subgroup');
const STORE = shader('epilogue/store');
const ADDEND = shader('epilogue/addend');
const ADD_TO = shader('epilogue/add_to');
const BIAS = shader('epilogue/bias');
const ADDEND_BIAS = shader('epilogue/addend_bias');
const PLAIN_OPERANDS = shader('operands/plain');
const DROPPED = shader('operands/dropped');
const DROPPED_A_ONE = shader('operands/dropped_a_one');
const DROPPED_A_FOUR = shader('operands/dropped_a_four');
const DROPPED_B = shader('operands/dropped_b');
const ONE = shader('lanes/one');
const FOUR = shader('lanes/four');

/** `draws_of`, `dropped` and `dropped_vec4`: what dropout keeps. */
export const dropoutDraws = shader('dropout/draws');

/**
 * `weight_vec4(i)`: four elements of the tensor bound as `weights`, as f32. The shader's Params have `weight_blocks`,
 * from `weightBlocks`.
 */
export function weightModules(weight: TensorType, capabilities: KernelCapabilities): Shader[] {
  switch (weight.dtype as WeightDType) {
    case 'f32':
      return [F32];
    case 'f16':
      return [capabilities.f16 ? F16 : F16_WORDS];
    case 'bf16':
      return [BF16_WORDS];
    case 'nf4':
      return [NF4, capabilities.software ? NF4_TABLE : NF4_TREE, SCALE_F32];
    case 'nf4_nested':
      return [NF4, capabilities.software ? NF4_TABLE : NF4_TREE, SCALE_NESTED];
    case 'q8':
      return [Q8];
  }
}

/** Blocks of a quantised tensor, by which its scales are found; 0 for other types. */
export function weightBlocks({ dtype, shape }: TensorType): Param {
  return u32(isQuantized(dtype) ? quantizedLayout(dtype, shape).blocks : 0);
}

/** `quad_products`: how cpu/matmul_quad.wgsl goes through a weight. */
export function quadProductsModule(weight: TensorType): Shader {
  return isNf4(weight) && wholeBlocks(weight) ? QUAD_PRODUCTS_NF4 : QUAD_PRODUCTS;
}

/** `lane_sums`: how a lane of matvec/matvec.wgsl goes along the rows of a weight. */
export function laneSumsModule(weight: TensorType): Shader {
  if (isNf4(weight) && wholeBlocks(weight)) return MATVEC_NF4;
  return weight.shape.at(-1)! % 4 === 0 ? MATVEC_VECTORS : MATVEC_ELEMENTS;
}

const isNf4 = ({ dtype }: TensorType): boolean => dtype === 'nf4' || dtype === 'nf4_nested';

/** Whether no block of NF4 codes reaches over the end of a row. */
const wholeBlocks = ({ shape }: TensorType): boolean => shape.at(-1)! % BLOCK_SIZE.nf4 === 0;

/** `operand(i)`: an element of the tensor bound at binding 1, or, in place, of `y`. */
export function placeModule(inPlace: boolean): Shader {
  return inPlace ? SAME : APART;
}

/** `gate_operand(i)` and `up_operand(i)`: of the tensors at bindings 1 and 2, or, in place, of `dgate` and `dup`. */
export function pairModule(inPlace: boolean): Shader {
  return inPlace ? PAIR_SAME : PAIR_APART;
}

/** `workgroup_sum` and `workgroup_max` over 64 lanes. */
export function reduceModule(capabilities: KernelCapabilities): Shader {
  return capabilities.subgroups ? SUBGROUP : SHARED;
}

/** `Elements`, what a thread takes at once: four where rows of that many elements are whole vectors. */
export function lanesModule(extent: number): Shader {
  return extent % 4 === 0 ? FOUR : ONE;
}

/**
 * `epilogue`: stores `Elements` as they are, or adds them to a tensor bound at binding 4, or to what is in their place
 * in `y`.
 */
export function epilogueModule(addend: Operand | undefined, accumulate = false): Shader {
  return accumulate ? ADD_TO : addend ? ADDEND : STORE;
}

/** `epilogue` of a product that adds a bias by column, bound at binding 5, and an addend, where there is one. */
export function biasModule(addend: Operand | undefined): Shader {
  return addend ? ADDEND_BIAS : BIAS;
}

/**
 * `operand_a(i)`, `Elements` of A, and `weight_vec4(i)`, four of B, of a product that reads `width` elements of A at once:
 * as they are stored, or one of them dropped.
 */
export function operandModules(
  weight: TensorType,
  dropped: 0 | 1 | undefined,
  width: 1 | 4,
  capabilities: KernelCapabilities,
): Shader[] {
  if (dropped === undefined) return [...weightModules(weight, capabilities), PLAIN_OPERANDS];
  if (dropped === 1) return [dropoutDraws, DROPPED, DROPPED_B];
  return [...weightModules(weight, capabilities), dropoutDraws, DROPPED, width === 4 ? DROPPED_A_FOUR : DROPPED_A_ONE];
}
