/**
 * The safetensors header, read as strictly as the reference implementation (safetensors 0.8.0) reads it: eight bytes of
 * little-endian header length N, N bytes of JSON, then the tensors back to back with no hole, overlap or trailing byte.
 * https://github.com/huggingface/safetensors#format
 */
import { GraftError } from '../../core/errors';
import { formatCount, plural, quote } from '../../core/format';
import { betweenStrings, parseJson } from '../../core/json';
import { sha256 } from '../../core/hash';
import { decodeUtf8, type FileSource } from '../../core/store';
import { wrongFile } from '../kind-of-file';
import { BITS_PER_ELEMENT, SAFETENSORS_DTYPES, type SafetensorsDType } from './dtypes';

/** The reference implementation's limit: a larger header is an attack, not a model. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
/** JSON's: space, tab, line feed, carriage return. */
const WHITE_SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** One tensor of a file: where its bytes lie, counted from the start of the file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly file: string;
  /** In the order of their bytes. */
  readonly tensors: readonly TensorEntry[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes before the first tensor, and their SHA-256. */
  readonly size: number;
  readonly sha256: string;
}

/**
 * Reads and checks the header of one file.
 * @throws `not-found` where there is no such file, `bad-file` where a rule of the format is broken.
 */
export async function readHeader(source: FileSource, file: string): Promise<SafetensorsHeader> {
  const size = await source.size(file);
  if (size === undefined) throw new GraftError('not-found', `${source.name} has no file ${file}.`);
  try {
    return await readSafetensors(source, file, size);
  } catch (error) {
    if (!(error instanceof GraftError) || error.code !== 'bad-file') throw error;
    throw (await otherFile(source, file, size)) ?? error;
  }
}

/** The error for a file of another kind. One that has a header and was cut or changed later is none. */
async function otherFile(source: FileSource, file: string, size: number): Promise<GraftError | undefined> {
  const start = await source.read(file, 0, Math.min(size, LENGTH_BYTES + 16));
  const looksRight =
    start[LENGTH_BYTES - 1] === 0 && /^\s*\{/.test(String.fromCharCode(...start.subarray(LENGTH_BYTES)));
  return looksRight ? undefined : wrongFile(source, file, 'a safetensors file', false);
}

async function readSafetensors(source: FileSource, file: string, size: number): Promise<SafetensorsHeader> {
  if (size < LENGTH_BYTES) {
    const held = size === 0 ? 'is empty' : `holds only ${plural(size, 'byte')}`;
    throw new GraftError('bad-file', `${file} ${held}, so it is no safetensors file: download it again.`);
  }
  const prefix = await source.read(file, 0, LENGTH_BYTES);
  const length = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new GraftError(
      'bad-file',
      `${file} claims a header of ${length.toLocaleString('en-US')} bytes, above the limit of ` +
        `${formatCount(MAX_HEADER_BYTES)}: it is no safetensors file, or it is damaged.`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(length);
  if (dataStart > size) {
    throw new GraftError(
      'bad-file',
      `${file} ends ${plural(dataStart - size, 'byte')} early, within its header: download it again.`,
    );
  }
  const json = await source.read(file, LENGTH_BYTES, dataStart);
  const fields = parseHeader(file, json);
  const metadata = readMetadata(file, fields);
  const tensors = fields
    .filter(([name]) => name !== '__metadata__')
    .map(([name, info]) => readEntry(file, name, info))
    .sort((a, b) => a.start - b.start || a.end - b.end);
  checkLayout(file, tensors, size - dataStart);
  const moved = tensors.map((entry) => ({ ...entry, start: entry.start + dataStart, end: entry.end + dataStart }));
  const head = new Uint8Array(dataStart);
  head.set(prefix);
  head.set(json, LENGTH_BYTES);
  return { file, tensors: moved, metadata, size: dataStart, sha256: await sha256(head) };
}

/** The header's top-level fields; a repeated name keeps its last value, as in the reference implementation. */
function parseHeader(file: string, bytes: Uint8Array): [string, unknown][] {
  const refuse = (why: string) => new GraftError('bad-file', `The header of ${file} ${why}: download it again.`);
  // White space may stand before the brace and behind the last one: writers align the data with it.
  const first = bytes.find((byte) => !WHITE_SPACE.has(byte));
  if (first !== 0x7b) throw refuse('does not start with {');
  let text: string;
  try {
    text = decodeUtf8(bytes);
  } catch {
    throw refuse('is not valid UTF-8');
  }
  const header = parseJson(text);
  if (header === undefined) throw refuse('is not valid JSON');
  // The format has plain non-negative integers only; once parsed, 4.0 and -0 could no longer be told from 4 and 0.
  for (const part of betweenStrings(text)) {
    if (/-|\d[.eE]/.test(part)) throw refuse('holds a negative or fractional number');
  }
  return Object.entries(header as object);
}

function readMetadata(file: string, fields: [string, unknown][]): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  const value = fields.find(([name]) => name === '__metadata__')?.[1];
  if (value === undefined || value === null) return metadata;
  if (!isObject(value)) throw new GraftError('bad-file', `The __metadata__ of ${file} is not an object of strings.`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw new GraftError(
        'bad-file',
        `The __metadata__ of ${file} holds ${quote(text)} under ${quote(key)}, not a string.`,
      );
    }
    metadata.set(key, text);
  }
  return metadata;
}

/** One tensor's description; offsets are still relative to the data. */
function readEntry(file: string, name: string, info: unknown): TensorEntry {
  const refuse = (why: string) =>
    new GraftError('bad-file', `Tensor ${quote(name)} in ${file} ${why}: the file is damaged.`);
  if (/\p{Surrogate}/u.test(name)) throw refuse('has a name that is not valid Unicode');
  if (!isObject(info)) throw refuse('is not described by an object');
  const field = (key: string): unknown => (Object.hasOwn(info, key) ? info[key] : undefined);

  const dtype = SAFETENSORS_DTYPES.find((known) => known === field('dtype'));
  if (dtype === undefined) throw refuse(`has the unknown dtype ${quote(field('dtype'))}`);
  const shape = field('shape');
  if (!isIntegers(shape)) throw refuse(`has a shape that is not a list of sizes, or too large: ${quote(shape)}`);
  const offsets = field('data_offsets');
  if (!isIntegers(offsets) || offsets.length !== 2)
    throw refuse(`has data_offsets ${quote(offsets)}, not two integers`);
  const [start, end] = offsets as [number, number];
  if (end < start) throw refuse(`ends before it starts (${start} to ${end})`);

  const bits = shape.reduce((product, n) => product * n, BITS_PER_ELEMENT[dtype]);
  if (!Number.isSafeInteger(bits)) throw refuse(`has a shape too large to count: ${quote(shape)}`);
  if (bits % 8 !== 0) throw refuse(`does not fill whole bytes with ${dtype} and shape ${quote(shape)}`);
  if (bits / 8 !== end - start) {
    throw refuse(
      `needs ${plural(bits / 8, 'byte')} for ${dtype} and shape ${quote(shape)}, but spans ${formatCount(end - start)}`,
    );
  }
  return { name, dtype, shape, start, end };
}

/** Tensors in byte order must follow each other from 0 to the end of the file. */
function checkLayout(file: string, tensors: readonly TensorEntry[], dataBytes: number): void {
  let expected = 0;
  for (const { name, start, end } of tensors) {
    if (start !== expected) {
      const what =
        start < expected ? 'overlaps the tensor before it' : `leaves a hole of ${plural(start - expected, 'byte')}`;
      throw new GraftError('bad-file', `Tensor ${quote(name)} in ${file} ${what}: the file is damaged.`);
    }
    expected = end;
  }
  if (expected > dataBytes) {
    const cut = tensors.find((tensor) => tensor.end > dataBytes);
    throw new GraftError(
      'bad-file',
      `${file} ends ${plural(expected - dataBytes, 'byte')} early, within tensor ${quote(cut?.name)}: download it again.`,
    );
  }
  if (expected < dataBytes) {
    throw new GraftError(
      'bad-file',
      `${file} has ${plural(dataBytes - expected, 'byte')} after its last tensor that belong to none: download it again.`,
    );
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isIntegers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n));
}
