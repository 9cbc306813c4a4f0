/** Which type each tensor of a file gets, as llama.cpp's converter and llama-quantize decide it (llama-quant.cpp). */
import type { GgufFileType } from '../../core/gguf-file-types';
import type { DecoderSpec } from '../../core/spec';
import { ggmlType, type GgmlType } from './types';

/** Kinds of files that Graft writes, with their number in `general.file_type` (`llama_ftype`). */
export const FILE_TYPES: Readonly<Record<GgufFileType, number>> = {
  F32: 0,
  F16: 1,
  BF16: 32,
  Q8_0: 7,
  Q4_0: 2,
  Q4_K_M: 15,
  Q5_K_M: 17,
  Q6_K: 18,
};

export type FileType = GgufFileType;

/** The type that most matrices have. */
const MATRICES: Readonly<Record<FileType, string>> = {
  F32: 'F32',
  F16: 'F16',
  BF16: 'BF16',
  Q8_0: 'Q8_0',
  Q4_0: 'Q4_0',
  Q4_K_M: 'Q4_K',
  Q5_K_M: 'Q5_K',
  Q6_K: 'Q6_K',
};

/** What takes the place of types whose blocks don't fit into a row; others become F16. */
const FALLBACKS: Readonly<Record<string, string>> = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' };

/** @param name llama.cpp's @param shape rows first */
export function typeOf(file: FileType, name: string, shape: readonly number[], spec: DecoderSpec): GgmlType {
  // Vectors keep their exact values.
  if (shape.length < 2) return ggmlType('F32');
  const wanted = ggmlType(mixed(file, name, shape.at(-1)!, spec));
  return fitting(wanted, shape.at(-1)!);
}

function fitting(type: GgmlType, columns: number): GgmlType {
  if (columns % type.blockElements === 0) return type;
  const fallback = ggmlType(FALLBACKS[type.name] ?? 'F16');
  return columns % fallback.blockElements === 0 ? fallback : ggmlType('F16');
}

function mixed(file: FileType, name: string, columns: number, spec: DecoderSpec): string {
  const type = MATRICES[file];
  if (ggmlType(type).blockElements === 1) return type;
  if (name === 'output.weight' || (name === 'token_embd.weight' && spec.tieWordEmbeddings)) {
    return type === 'Q8_0' || columns % ggmlType(type).blockElements !== 0 ? 'Q8_0' : 'Q6_K';
  }
  const [, layer, part] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? [];
  if (file !== 'Q4_K_M' && file !== 'Q5_K_M') return type;
  const matters = part === 'attn_v' || part === 'attn_qkv' || part === 'ffn_down';
  if (matters && getsMoreBits(Number(layer), spec.numLayers)) return 'Q6_K';
  return part === 'attn_v' && type === 'Q4_K' && hasFewValues(spec) ? 'Q5_K' : type;
}

/** The first and the last eighth of the layers, and every third between. */
function getsMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

/** What llama.cpp calls a 70B model: eight heads share one of values there. */
function hasFewValues({ family, numLayers, numHeads, numKeyValueHeads }: DecoderSpec): boolean {
  return (
    numLayers === 80 && (family === 'qwen2' || (['llama', 'mistral'].includes(family) && numHeads !== numKeyValueHeads))
  );
}
