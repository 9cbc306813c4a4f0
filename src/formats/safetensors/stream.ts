/** Weights from safetensors files, in slices: no model needs more memory on its way than a few of them. */
import { BYTES_PER_ELEMENT, elementCount, type FloatDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import { sliceRows, type FileProgress, type WeightSlice, type WeightStream } from '../../core/weights';
import { FileReader } from '../file-reader';
import { weightDType } from './dtypes';
import type { SafetensorsHeader, TensorEntry } from './header';

/** Which weights to read, and from where. */
export interface WeightsRequest {
  /** Only these, each by its own ranges and unverified: what is missing of a model that was verified. */
  readonly names?: ReadonlySet<string> | undefined;
  /** Where files stand, which are read on from there; the others are read from their start. */
  readonly from?: readonly FileProgress[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The dtype of a weight. Throws `unsupported` for one that Graft doesn't compute with. */
export function entryDType(file: string, entry: TensorEntry): FloatDType {
  const dtype = weightDType(entry.dtype);
  if (dtype !== undefined) return dtype;
  throw new GraftError(
    'unsupported',
    `Tensor ${entry.name} in ${file} is stored as ${entry.dtype}; Graft reads weights in F32, F16 and BF16.`,
  );
}

/**
 * The tensors behind checked headers, file by file in the order of their bytes; only `wanted` where given. Each file
 * comes in one transfer, and is held against the SHA-256 that the source tells.
 * @throws `bad-file` where a file ends early or has another SHA-256
 */
export async function* streamEntries(
  source: FileSource,
  headers: readonly SafetensorsHeader[],
  wanted?: ReadonlySet<string>,
  request: WeightsRequest = {},
): WeightStream {
  const { names, from = [], signal } = request;
  for (const header of headers) {
    const { file, tensors } = header;
    if (names) {
      const entries = tensors.filter(({ name }) => names.has(name) && (!wanted || wanted.has(name)));
      yield* readEntries(source, file, entries, signal);
      continue;
    }
    const progress = from.find((known) => known.file === file);
    const entries = tensors.filter(({ name }) => !wanted || wanted.has(name));
    yield* streamFile(source, header, entries, progress, signal);
  }
}

/** The entries of one file that lie after `progress`, in one transfer. */
async function* streamFile(
  source: FileSource,
  header: SafetensorsHeader,
  entries: readonly TensorEntry[],
  progress: FileProgress | undefined,
  signal: AbortSignal | undefined,
): WeightStream {
  const { file } = header;
  const reader = await FileReader.open(source, header, progress, signal);
  try {
    for (const entry of entries) {
      if (entry.start < reader.offset) continue;
      await reader.skipTo(entry.start);
      for (const slice of slicesOf(file, entry)) {
        const bytes = await reader.takeBytes(slice.end - slice.start, `tensor ${entry.name}`);
        const isLast = slice.end === entry.end;
        yield { ...slice.head, bytes, ...(isLast && { progress: reader.progress() }) };
      }
    }
    await reader.finish();
  } finally {
    await reader.close();
  }
}

/** Single tensors, each slice by a range of its own. */
async function* readEntries(
  source: FileSource,
  file: string,
  entries: readonly TensorEntry[],
  signal: AbortSignal | undefined,
): WeightStream {
  for (const entry of entries) {
    const reader = FileReader.at(source, file, entry.start, signal);
    try {
      for (const { head, start, end } of slicesOf(file, entry)) {
        yield { ...head, bytes: await reader.takeBytes(end - start, `tensor ${entry.name}`) };
      }
    } finally {
      await reader.close();
    }
  }
}

/** The slices of a tensor, and the bytes of the file that each is. */
function slicesOf(
  file: string,
  entry: TensorEntry,
): { readonly head: Omit<WeightSlice, 'bytes'>; readonly start: number; readonly end: number }[] {
  const dtype = entryDType(file, entry);
  const { name, shape, start: begin, end } = entry;
  const head = { name, dtype, shape };
  const step = sliceRows(shape, dtype);
  const [rows = 1, ...rest] = shape;
  if (step >= rows || begin === end) return [{ head, start: begin, end }];
  const rowBytes = BYTES_PER_ELEMENT[dtype] * elementCount(rest);
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => {
    const firstRow = i * step;
    const start = begin + firstRow * rowBytes;
    return { head: { ...head, firstRow }, start, end: Math.min(end, start + step * rowBytes) };
  });
}
