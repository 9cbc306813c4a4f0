/**
 * The head of a GGUF file: metadata and where each tensor lies. Hostile until parsed: every count and length is held
 * against the file before anything is made of it, and tensors must lie back to back, as llama.cpp demands.
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { GraftError } from '../../core/errors';
import { formatCount, plural, quote } from '../../core/format';
import { decodeUtf8, type FileSource } from '../../core/store';
import { JsonObject } from '../json';
import { wrongFile } from '../kind-of-file';
import { GGML_TYPES, OTHER_TYPES, storedBytes, type GgmlType } from './types';
import { align, ALIGNMENT, ARRAY, MAGIC, SCALARS, STRING, type Scalar } from './values';

export interface GgufTensor {
  /** The file that holds it: a model may have several. */
  readonly file: string;
  readonly name: string;
  readonly type: GgmlType;
  /** Rows first, as in a Hub file; GGUF itself has the innermost size first. */
  readonly shape: readonly number[];
  /** Bytes of the file. */
  readonly start: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly file: string;
  readonly metadata: JsonObject;
  readonly tensors: readonly GgufTensor[];
}

/** A vocabulary of 256,000 with its merges has some 20 MB. */
const MAX_HEADER_BYTES = 128 * 2 ** 20;
const FIRST_READ = 2 ** 20;
/** Real files have some dozens of keys, some thousands of tensors. */
const MAX_ENTRIES = 65_536;
/** Arrays have an entry for each token or merge: the largest vocabularies have 262,144 tokens and 514,906 merges. */
const MAX_ARRAY = 2_097_152;
/** Entries of all arrays: an entry of one byte takes up to 32 once it is read. */
const MAX_ALL_ARRAYS = 2 * MAX_ARRAY;
const MAX_NAME_BYTES = 1024;
const MAX_DIMENSIONS = 4;
const MAX_ALIGNMENT = 65_536;

/** @throws `not-found`, `bad-file` where a rule of the format is broken, `unsupported` for versions and types. */
export async function readGgufHeader(source: FileSource, file: string): Promise<GgufHeader> {
  const size = await source.size(file);
  if (size === undefined) throw new GraftError('not-found', `${source.name} has no file ${file}.`);
  // The head doesn't say how long it is: read more until it is whole.
  let bytes = await source.read(file, 0, Math.min(size, FIRST_READ));
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== MAGIC) {
    const wrong = await wrongFile(source, file, 'a GGUF file', false);
    throw wrong ?? new GraftError('bad-file', `${file} does not start with GGUF: it is no GGUF file.`);
  }
  for (;;) {
    try {
      return new HeaderParser(file, bytes, size).parse();
    } catch (error) {
      if (error !== SHORT) throw error;
    }
    if (bytes.byteLength >= MAX_HEADER_BYTES) {
      throw new GraftError(
        'bad-file',
        `${file} has a head of more than ${formatCount(MAX_HEADER_BYTES)} bytes: it is damaged.`,
      );
    }
    const more = await source.read(file, bytes.byteLength, Math.min(size, 2 * bytes.byteLength));
    if (more.byteLength === 0)
      throw new GraftError('bad-file', `${file} ends early, within its head: download it again.`);
    const joined = new Uint8Array(bytes.byteLength + more.byteLength);
    joined.set(bytes);
    joined.set(more, bytes.byteLength);
    bytes = joined;
  }
}

/** Thrown where the bytes at hand end before the head does. */
const SHORT = new Error('more of the head is needed');

type Value = string | number | boolean | readonly Value[];

class HeaderParser {
  private readonly view: DataView;
  private at = 0;
  private arrayEntries = 0;

  constructor(
    private readonly file: string,
    private readonly bytes: Uint8Array,
    private readonly size: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  parse(): GgufHeader {
    this.version();
    const tensorCount = this.count('tensors', MAX_ENTRIES);
    const entryCount = this.count('metadata entries', MAX_ENTRIES);
    const metadata = new Map<string, Value>();
    for (let i = 0; i < entryCount; i++) {
      const key = this.text(MAX_NAME_BYTES);
      if (metadata.has(key)) throw this.damaged(`holds ${quote(key)} twice`);
      metadata.set(key, this.value(this.u32(), key));
    }
    const infos = Array.from({ length: tensorCount }, () => this.tensorInfo());
    const alignment = metadata.get('general.alignment') ?? ALIGNMENT;
    const isPower = typeof alignment === 'number' && alignment >= 1 && Number.isInteger(Math.log2(alignment));
    if (!isPower || alignment > MAX_ALIGNMENT) {
      throw this.damaged(`has the alignment ${quote(alignment)}`);
    }
    return {
      file: this.file,
      metadata: new JsonObject(this.file, Object.fromEntries(metadata)),
      tensors: this.place(infos, alignment),
    };
  }

  private version(): void {
    this.advance(MAGIC.length);
    const version = this.u32();
    if (version === 2 || version === 3) return;
    const why = version % 65_536 === 0 ? 'is written for big-endian machines' : `has version ${version} of the format`;
    throw new GraftError('unsupported', `${this.file} ${why}; Graft reads GGUF 2 and 3, little-endian.`);
  }

  /** Tensors must follow each other in the file, each at the next multiple of the alignment. */
  private place(infos: readonly TensorInfo[], alignment: number): GgufTensor[] {
    const dataStart = align(this.at, alignment);
    const names = new Set<string>();
    let expected = 0;
    let end = 0;
    const tensors = infos.map(({ name, type, shape, offset, bytes }) => {
      if (names.has(name)) throw this.damaged(`holds the tensor ${quote(name)} twice`);
      names.add(name);
      if (offset !== expected) {
        throw this.damaged(`has tensor ${quote(name)} at ${formatCount(offset)} instead of ${formatCount(expected)}`);
      }
      end = offset + bytes;
      expected = align(end, alignment);
      return { file: this.file, name, type, shape, start: dataStart + offset, end: dataStart + end };
    });
    if (tensors.length === 0) return tensors;
    const missing = dataStart + end - this.size;
    if (missing > 0) {
      const cut = tensors.find((tensor) => tensor.end > this.size);
      throw new GraftError(
        'bad-file',
        `${this.file} ends ${plural(missing, 'byte')} early, within tensor ${quote(cut?.name)}: download it again.`,
      );
    }
    if (this.size > dataStart + expected) {
      throw this.damaged(`has ${plural(this.size - dataStart - expected, 'byte')} after its last tensor`);
    }
    return tensors;
  }

  private tensorInfo(): TensorInfo {
    const name = this.text(MAX_NAME_BYTES);
    const dimensions = this.u32();
    if (dimensions > MAX_DIMENSIONS) throw this.damaged(`gives ${quote(name)} ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => this.u64()).reverse();
    const code = this.u32();
    const offset = this.u64();
    const type = GGML_TYPES.get(code);
    if (!type) {
      throw new GraftError(
        'unsupported',
        `${this.file} holds ${name} as ${OTHER_TYPES[code] ?? `type ${code}`}; Graft reads ${[...GGML_TYPES.values()].map(({ name }) => name).join(', ')}.`,
      );
    }
    const elements = shape.reduce((product, n) => product * n, 1);
    const bytes = storedBytes(type, shape);
    // As in ggml a size may be 0, and without dimensions there is one element.
    if ((shape.at(-1) ?? 1) % type.blockElements !== 0 || !Number.isSafeInteger(elements * type.blockBytes)) {
      throw this.damaged(`gives ${quote(name)} the shape [${shape.join(', ')}] in ${type.name}`);
    }
    return { name, type, shape, offset, bytes };
  }

  private value(type: number, key: string): Value {
    const scalar = SCALARS.get(type);
    if (scalar) return this.scalar(scalar, key);
    if (type === STRING) return this.text();
    if (type !== ARRAY) throw this.damaged(`has a value of the unknown type ${type} under ${quote(key)}`);
    const item = this.u32();
    if (item === ARRAY) throw this.damaged(`has lists of lists under ${quote(key)}`);
    const itemScalar = SCALARS.get(item);
    if (!itemScalar && item !== STRING)
      throw this.damaged(`has a list of the unknown type ${item} under ${quote(key)}`);
    const length = this.count(`entries under ${quote(key)}`, MAX_ARRAY, itemScalar?.bytes ?? 8);
    this.arrayEntries += length;
    if (this.arrayEntries > MAX_ALL_ARRAYS)
      throw this.damaged(`has lists of more than ${formatCount(MAX_ALL_ARRAYS)} entries`);
    const list: Value[] = [];
    for (let i = 0; i < length; i++) list.push(itemScalar ? this.scalar(itemScalar, key) : this.text());
    return list;
  }

  private scalar({ bytes, read }: Scalar, key: string): number | boolean {
    const value = read(this.view, this.advance(bytes));
    if (typeof value !== 'bigint') return value;
    if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
      throw this.damaged(`has the number ${value} under ${quote(key)}`);
    }
    return Number(value);
  }

  /** A count of things that take at least `bytesEach` of what is left of the file. */
  private count(what: string, most: number, bytesEach = 12): number {
    const count = this.u64();
    if (count <= most && count * bytesEach <= this.size - this.at) return count;
    throw this.damaged(`claims ${formatCount(count)} ${what}`);
  }

  private text(most = MAX_HEADER_BYTES): string {
    const length = this.u64();
    if (length > most || length > this.size - this.at) {
      throw this.damaged(`claims a text of ${formatCount(length)} bytes`);
    }
    if (length === 0) return '';
    try {
      return decodeUtf8(this.takeBytes(length));
    } catch (error) {
      if (error === SHORT) throw error;
      throw this.damaged('has text that is not valid UTF-8');
    }
  }

  private u32(): number {
    return this.view.getUint32(this.advance(4), true);
  }

  private u64(): number {
    const at = this.advance(8);
    const high = this.view.getUint32(at + 4, true);
    if (high >= 2 ** 21) throw this.damaged(`has the size ${this.view.getBigUint64(at, true)}`);
    return high * 2 ** 32 + this.view.getUint32(at, true);
  }

  private takeBytes(length: number): Uint8Array {
    const from = this.advance(length);
    return this.bytes.subarray(from, from + length);
  }

  /** Moves over the next bytes and returns where they start. */
  private advance(length: number): number {
    const from = this.at;
    if (from + length > this.bytes.byteLength) throw SHORT;
    this.at += length;
    return from;
  }

  private damaged(why: string): GraftError {
    return new GraftError('bad-file', `${this.file} ${why}: it is damaged.`);
  }
}

interface TensorInfo extends Omit<GgufTensor, 'file' | 'start' | 'end'> {
  readonly offset: number;
  readonly bytes: number;
}
