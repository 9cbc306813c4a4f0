/** Tensors under llama.cpp's names to tensors under the Hub's, and what the converter did to them, undone. */
import { toFloat32 } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import type { GgufHeader, GgufTensor } from './header';
import type { GgufArchitecture } from './config';
import { expand, type GgmlType } from './types';

/** A tensor as a Hub file would hold it. */
export interface HubTensor {
  readonly name: string;
  readonly dtype: GgmlType['expanded'];
  readonly shape: readonly number[];
  readonly stored: GgufTensor;
  /** Heads whose rows the converter interleaved for its own rotary embedding. */
  readonly interleavedHeads: number | undefined;
  /** What the converter added to each element. */
  readonly shift: number;
}

const TOP: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

const LAYER: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_qkv: 'self_attn.qkv_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** Names that mean something else in some families. */
const SANDWICHED: Readonly<Record<string, string>> = {
  post_attention_norm: 'post_attention_layernorm',
  ffn_norm: 'pre_feedforward_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
};
const FUSED: Readonly<Record<string, string>> = { ffn_up: 'mlp.gate_up_proj' };

/** Tables of the rotary embedding: they are read into the config. */
const ROTARY = /^rope_(freqs|factors_long|factors_short)\.weight$|^blk\.\d+\.attn_rot_embd\.weight$/;

/**
 * The model's tensors, in the order of the file. One with a name of its own keeps it, and is refused as a stranger; one
 * without elements says nothing.
 */
export function hubTensors(header: GgufHeader, architecture: GgufArchitecture): HubTensor[] {
  const { norms, rotary, heads, keyValueHeads } = architecture;
  return header.tensors
    .filter(({ name, start, end }) => !ROTARY.test(name) && end > start)
    .map((stored) => {
      const name = hubName(stored.name, architecture);
      const shift = norms === 'shifted' && name.endsWith('norm.weight') ? 1 : 0;
      const projection =
        rotary === 'interleaved' ? /\.self_attn\.([qk])_proj\.(weight|bias)$/.exec(name)?.[1] : undefined;
      const interleavedHeads = projection === 'q' ? heads : projection === 'k' ? keyValueHeads : undefined;
      if (interleavedHeads !== undefined && !(stored.shape[0]! % (2 * interleavedHeads) === 0)) {
        throw new GraftError(
          'bad-file',
          `${header.file}: ${stored.name} has ${stored.shape[0]} rows, which are no ${interleavedHeads} heads of an even size.`,
        );
      }
      return {
        name,
        dtype: shift === 0 ? stored.type.expanded : 'F32',
        shape: stored.shape,
        stored,
        interleavedHeads,
        shift,
      };
    });
}

function hubName(name: string, { layerNames }: GgufArchitecture): string {
  const [, layer, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined || part === undefined) return (Object.hasOwn(TOP, name) ? TOP[name] : undefined) ?? name;
  const names =
    layerNames === 'sandwiched' ? { ...LAYER, ...SANDWICHED } : layerNames === 'fused' ? { ...LAYER, ...FUSED } : LAYER;
  return Object.hasOwn(names, part) ? `model.layers.${Number(layer)}.${names[part]}.${kind}` : name;
}

/** Bytes of an element of the tensor as a Hub file holds it. */
export function elementBytes({ dtype }: HubTensor): number {
  return dtype === 'F32' ? 4 : 2;
}

/** Bytes `start` (inclusive) to `end` (exclusive) of the tensor as a Hub file holds it. */
export async function readHubBytes(
  source: FileSource,
  tensor: HubTensor,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const { type, shape } = tensor.stored;
  const columns = shape.length === 1 && type.blockElements === 1 ? 1 : shape.at(-1)!;
  const rowBytes = columns * elementBytes(tensor);
  const rows = { first: Math.floor(start / rowBytes), end: Math.ceil(end / rowBytes) };
  const bytes = await readRows(source, tensor, rows, columns);
  return bytes.subarray(start - rows.first * rowBytes, end - rows.first * rowBytes);
}

interface Rows {
  readonly first: number;
  readonly end: number;
}

async function readRows(source: FileSource, tensor: HubTensor, rows: Rows, columns: number): Promise<Uint8Array> {
  const { stored, shape, interleavedHeads, shift } = tensor;
  const { type } = stored;
  const allRows = shape.reduce((product, n) => product * n, 1) / columns;
  const headRows = interleavedHeads === undefined ? 1 : allRows / interleavedHeads;
  // Rows of a head are read together, for each may lie anywhere in it.
  const first = Math.floor(rows.first / headRows) * headRows;
  const end = Math.ceil(rows.end / headRows) * headRows;
  const storedRow = (columns / type.blockElements) * type.blockBytes;
  const read = await source.read(stored.file, stored.start + first * storedRow, stored.start + end * storedRow);
  let bytes = expand(type, read);
  if (shift !== 0) bytes = shifted(bytes, type, -shift);
  if (interleavedHeads === undefined) return bytes;
  return separated(
    bytes,
    { first: rows.first - first, end: rows.end - first },
    headRows,
    columns * elementBytes(tensor),
  );
}

/**
 * Rows of heads whose two halves were interleaved row by row (the converter's `permute`), apart again: row i of half h
 * was stored as row 2 i + h.
 */
function separated(bytes: Uint8Array, rows: Rows, headRows: number, rowBytes: number): Uint8Array {
  const result = new Uint8Array((rows.end - rows.first) * rowBytes);
  const half = headRows / 2;
  for (let row = rows.first; row < rows.end; row++) {
    const within = row % headRows;
    const from = row - within + 2 * (within % half) + (within < half ? 0 : 1);
    result.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), (row - rows.first) * rowBytes);
  }
  return result;
}

function shifted(bytes: Uint8Array, { expanded }: GgmlType, by: number): Uint8Array {
  const dtype = { F32: 'f32', F16: 'f16', BF16: 'bf16' } as const;
  const values = Float32Array.from(toFloat32(bytes, dtype[expanded]), (value) => value + by);
  return new Uint8Array(values.buffer);
}
