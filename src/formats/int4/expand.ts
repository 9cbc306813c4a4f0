/** Packed weights of a model folder seen as plain ones, in f32, which holds them exactly: nothing past it knows the packing. */
import { elementCount } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { dequantizeInt4 } from '../../core/int4';
import { parameters, type DecoderSpec } from '../../core/spec';
import type { FileSource } from '../../core/store';
import {
  MadeFile,
  readHeader,
  readTensorBytes,
  weightDType,
  type MadeTensor,
  type SafetensorsHeader,
  type TensorEntry,
} from '../safetensors';
import type { StoredInt4 } from './config';
import { int4Tensors, unpackInt4, wordsOf, type Int4Part } from './layouts';
import { PER_WORD } from './nibbles';

const FILE = 'model.safetensors';

/** A tensor, and the file that it is in. */
interface Stored {
  readonly file: string;
  readonly entry: TensorEntry;
}

export interface ExpandedWeights {
  /** The folder with its weights in one file. */
  readonly source: FileSource;
  readonly headers: readonly SafetensorsHeader[];
  /** How each tensor that was packed is stored, by its Hub name. */
  readonly types: ReadonlyMap<string, string>;
}

/** @throws `bad-file` where a packed tensor has not the shape that it should */
export async function expandInt4(
  source: FileSource,
  headers: readonly SafetensorsHeader[],
  spec: DecoderSpec,
  stored: StoredInt4,
): Promise<ExpandedWeights> {
  const all = new Map<string, Stored>();
  for (const { file, tensors } of headers) for (const entry of tensors) all.set(entry.name, { file, entry });
  const known = new Set(parameters(spec).map(({ name }) => name));
  const shapes = new Map(parameters(spec).map(({ name, shape }) => [name, shape]));
  const made: MadeTensor[] = [];
  const types = new Map<string, string>();
  const shared: Shared = { source, stored, last: undefined };
  for (const [name, { file, entry }] of all) {
    const linear = name.replace(/\.[^.]+$/, '');
    const part = name.slice(linear.length + 1);
    const isPacked = all.has(`${linear}.qweight`);
    if (isPacked && part === 'qweight') {
      const weight = `${linear}.weight`;
      made.push(packedTensor(shared, linear, shapes.get(weight), all));
      types.set(weight, stored.layout === 'awq' ? 'AWQ' : 'GPTQ');
    } else if (isPacked && PARTS.has(part)) {
      continue;
    } else if (isPacked && part === 'bias' && !known.has(name) && (await isZero(source, file, entry))) {
      continue; // AutoGPTQ once gave every linear a bias
    } else {
      const dtype = weightDType(entry.dtype);
      if (!dtype) {
        throw new GraftError(
          'unsupported',
          `Tensor ${name} in ${file} is stored as ${entry.dtype}; beside packed weights Graft reads F32, F16 and BF16.`,
        );
      }
      const read = (start: number, end: number) => source.read(file, entry.start + start, entry.start + end);
      made.push({ name, dtype, shape: entry.shape, read });
    }
  }
  // As the reference writes files: each tensor begins at a multiple of its element's size.
  const file = new MadeFile(made.sort((a, b) => Number(b.dtype === 'f32') - Number(a.dtype === 'f32')));
  // Neither a transfer in one go nor the SHA-256 of a file is of use for one that is made.
  const expanded: FileSource = {
    name: source.name,
    ...(source.commit !== undefined && { commit: source.commit }),
    list: () => source.list(),
    ...(source.remember && { remember: source.remember.bind(source) }),
    size: (name) => (name === FILE ? Promise.resolve(file.size) : source.size(name)),
    read: (name, start, end) => (name === FILE ? file.read(start, end) : source.read(name, start, end)),
  };
  return { source: expanded, headers: [await readHeader(expanded, FILE)], types };
}

const PARTS: ReadonlySet<string> = new Set<Int4Part>(['qweight', 'qzeros', 'scales', 'g_idx']);

/** What the tensors of a folder have in common, and the one that was read last: it is read in slices. */
interface Shared {
  readonly source: FileSource;
  readonly stored: StoredInt4;
  last: { readonly linear: string; readonly bytes: Promise<Uint8Array> } | undefined;
}

function packedTensor(
  shared: Shared,
  linear: string,
  shape: readonly number[] | undefined,
  all: ReadonlyMap<string, Stored>,
): MadeTensor {
  const { layout, groupSize } = shared.stored;
  const packed = all.get(`${linear}.qweight`)!.entry.shape;
  const isAwq = layout === 'awq';
  // One that the model doesn't have is refused later, by name.
  const [outFeatures = 0, inFeatures = 0] =
    shape ?? (isAwq ? [PER_WORD * (packed[1] ?? 0), packed[0]] : [packed[1], PER_WORD * (packed[0] ?? 0)]);
  const groups = Math.ceil(inFeatures / (groupSize ?? inFeatures));
  const parts = new Map<Int4Part, Stored>();
  for (const { part, shape: expected, dtype } of int4Tensors(layout, outFeatures, inFeatures, groups)) {
    const found = all.get(`${linear}.${part}`);
    if (!found && part === 'g_idx') continue;
    const [type, given] = [found?.entry.dtype, found?.entry.shape];
    const isRight = dtype === 'i32' ? type === 'I32' : type !== undefined && weightDType(type) !== undefined;
    if (!found || !isRight || given?.join() !== expected.join()) {
      const what = found ? `${type} [${given!.join(', ')}]` : 'missing';
      throw new GraftError(
        'bad-file',
        `${linear}.${part} in ${shared.source.name} is ${what}, but [${expected.join(', ')}] in ${dtype.toUpperCase()} belongs ` +
          `to ${layout === 'awq' ? 'AWQ' : 'GPTQ'} in groups of ${groupSize ?? inFeatures}.`,
      );
    }
    parts.set(part, found);
  }
  const name = `${linear}.weight`;
  const read = async (start: number, end: number) => {
    if (shared.last?.linear !== linear) {
      shared.last = { linear, bytes: expandLinear(shared, linear, outFeatures, inFeatures, groups, parts) };
    }
    return (await shared.last.bytes).subarray(start, end);
  };
  return { name, dtype: 'f32', shape: [outFeatures, inFeatures], read };
}

async function expandLinear(
  { source, stored }: Shared,
  linear: string,
  outFeatures: number,
  inFeatures: number,
  groups: number,
  parts: ReadonlyMap<Int4Part, Stored>,
): Promise<Uint8Array> {
  const bytesOf = (part: Int4Part) => {
    const { file, entry } = parts.get(part)!;
    return readTensorBytes(source, file, entry);
  };
  const [qweight, qzeros, scales] = await Promise.all([bytesOf('qweight'), bytesOf('qzeros'), bytesOf('scales')]);
  const groupSize = Math.ceil(inFeatures / groups);
  const groupOf = parts.has('g_idx')
    ? Uint32Array.from(wordsOf(await bytesOf('g_idx')))
    : Uint32Array.from({ length: inFeatures }, (_, i) => Math.floor(i / groupSize));
  const odd = groupOf.find((group) => group >= groups);
  if (odd !== undefined) {
    throw new GraftError(
      'bad-file',
      `${linear}.g_idx in ${source.name} names group ${odd | 0}, and there are ${groups}: the file is damaged.`,
    );
  }
  const scaleType = weightDType(parts.get('scales')!.entry.dtype)!;
  const matrix = unpackInt4(stored.layout, outFeatures, inFeatures, { qweight, qzeros, scales }, groupOf, scaleType);
  return new Uint8Array(dequantizeInt4(matrix).buffer);
}

async function isZero(source: FileSource, file: string, entry: TensorEntry): Promise<boolean> {
  if (elementCount(entry.shape) > LARGEST_BIAS) return false;
  return (await readTensorBytes(source, file, entry)).every((byte) => byte === 0);
}

const LARGEST_BIAS = 2 ** 20;
