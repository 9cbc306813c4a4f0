/** Prelude modules that kernels are specialised with: how weights are read, how a workgroup reduces, what a store does. */
import type { WeightDType } from '../../core/dtypes';
import { BLOCK_SIZE, quantizedLayout } from '../../core/quantization';
import { u32, type KernelCapabilities, type Param, type Shader } from '../kernel';
import { isQuantized, type Operand, type TensorType } from '../tensor';
import f32Code from '../../../shaders/types/f32.wgsl?raw';
import f16Code from '../../../shaders/types/f16.wgsl?raw';
import f16WordsCode from '../../../shaders/types/f16_words.wgsl?raw';
import bf16WordsCode from '../../../shaders/types/bf16_words.wgsl?raw';
import nf4Code from '../../../shaders/types/nf4.wgsl?raw';
import nf4TableCode from '../../../shaders/types/nf4_table.wgsl?raw';
import nf4TreeCode from '../../../shaders/types/nf4_tree.wgsl?raw';
import matvecElementsCode from '../../../shaders/matvec/elements.wgsl?raw';
import matvecNf4Code from '../../../shaders/matvec/nf4.wgsl?raw';
import matvecVectorsCode from '../../../shaders/matvec/vectors.wgsl?raw';
import quadProductsCode from '../../../shaders/quad_products.wgsl?raw';
import quadProductsNf4Code from '../../../shaders/quad_products_nf4.wgsl?raw';
import q8Code from '../../../shaders/types/q8.wgsl?raw';
import scaleF32Code from '../../../shaders/types/scale_f32.wgsl?raw';
import scaleNestedCode from '../../../shaders/types/scale_nested.wgsl?raw';
import apartCode from '../../../shaders/place/apart.wgsl?raw';
import sameCode from '../../../shaders/place/same.wgsl?raw';
import sharedCode from '../../../shaders/reduce/shared.wgsl?raw';
import subgroupCode from '../../../shaders/reduce/subgroup.wgsl?raw';
import storeCode from '../../../shaders/epilogue/store.wgsl?raw';
import addendCode from '../../../shaders/epilogue/addend.wgsl?raw';
import lanesAddendCode from '../../../shaders/epilogue/lanes_addend.wgsl?raw';
import lanesStoreCode from '../../../shaders/epilogue/lanes_store.wgsl?raw';
import oneLaneCode from '../../../shaders/lanes/one.wgsl?raw';
import fourLanesCode from '../../../shaders/lanes/four.wgsl?raw';
import storeVec4Code from '../../../shaders/epilogue/store_vec4.wgsl?raw';
import addendVec4Code from '../../../shaders/epilogue/addend_vec4.wgsl?raw';
import addToCode from '../../../shaders/epilogue/add_to.wgsl?raw';
import addToVec4Code from '../../../shaders/epilogue/add_to_vec4.wgsl?raw';

const F32: Shader = { name: 'f32', code: f32Code };
const F16: Shader = { name: 'f16', code: f16Code };
const F16_WORDS: Shader = { name: 'f16_words', code: f16WordsCode };
const BF16_WORDS: Shader = { name: 'bf16_words', code: bf16WordsCode };
const NF4: Shader = { name: 'nf4', code: nf4Code };
const NF4_TABLE: Shader = { name: 'nf4_table', code: nf4TableCode };
const NF4_TREE: Shader = { name: 'nf4_tree', code: nf4TreeCode };
const MATVEC_ELEMENTS: Shader = { name: 'matvec_elements', code: matvecElementsCode };
const MATVEC_NF4: Shader = { name: 'matvec_nf4', code: matvecNf4Code };
const MATVEC_VECTORS: Shader = { name: 'matvec_vectors', code: matvecVectorsCode };
const QUAD_PRODUCTS: Shader = { name: 'quad_products', code: quadProductsCode };
const QUAD_PRODUCTS_NF4: Shader = { name: 'quad_products_nf4', code: quadProductsNf4Code };
const Q8: Shader = { name: 'q8', code: q8Code };
const SCALE_F32: Shader = { name: 'scale_f32', code: scaleF32Code };
const SCALE_NESTED: Shader = { name: 'scale_nested', code: scaleNestedCode };
const APART: Shader = { name: 'apart', code: apartCode };
const SAME: Shader = { name: 'same', code: sameCode };
const SHARED: Shader = { name: 'shared', code: sharedCode };
const SUBGROUP: Shader = { name: 'subgroup', code: subgroupCode };
const STORE: Shader = { name: 'store', code: storeCode };
const ADDEND: Shader = { name: 'addend', code: addendCode };
const STORE_VEC4: Shader = { name: 'store_vec4', code: storeVec4Code };
const ADDEND_VEC4: Shader = { name: 'addend_vec4', code: addendVec4Code };
const LANES_STORE: Shader = { name: 'lanes_store', code: lanesStoreCode };
const LANES_ADDEND: Shader = { name: 'lanes_addend', code: lanesAddendCode };
const ONE: Shader = { name: 'one', code: oneLaneCode };
const FOUR: Shader = { name: 'four', code: fourLanesCode };
const ADD_TO: Shader = { name: 'add_to', code: addToCode };
const ADD_TO_VEC4: Shader = { name: 'add_to_vec4', code: addToVec4Code };

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

/** `quad_products`: how matmul_quad.wgsl goes through a weight. */
export function quadProductsModule(weight: TensorType): Shader {
  return isNf4(weight) && wholeBlocks(weight) ? QUAD_PRODUCTS_NF4 : QUAD_PRODUCTS;
}

/** `lane_sums`: how a lane of matvec.wgsl goes along the rows of a weight. */
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

/** `workgroup_sum` and `workgroup_max` over 64 lanes. */
export function reduceModule(capabilities: KernelCapabilities): Shader {
  return capabilities.subgroups ? SUBGROUP : SHARED;
}

/** `epilogue`: stores the value, or adds it to a tensor bound at binding 4, or to what is in its place. */
export function epilogueModule(addend: Operand | undefined, accumulate = false): Shader {
  return accumulate ? ADD_TO : addend ? ADDEND : STORE;
}

/** `epilogue_vec4`: the same for four neighbours at once. */
export function epilogueVec4Module(addend: Operand | undefined, accumulate = false): Shader {
  return accumulate ? ADD_TO_VEC4 : addend ? ADDEND_VEC4 : STORE_VEC4;
}

/** `Elements`, what a thread takes at once: four where rows of that many elements are whole vectors. */
export function lanesModule(extent: number): Shader {
  return extent % 4 === 0 ? FOUR : ONE;
}

/** `epilogue_lanes`: the same for `Elements`. */
export function epilogueLanesModule(addend: Operand | undefined): Shader {
  return addend ? LANES_ADDEND : LANES_STORE;
}
