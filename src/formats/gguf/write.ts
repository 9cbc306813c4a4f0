/** Writing GGUF files: the head at once, then the tensors as they come. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
import { encodeUtf8 } from '../../core/store';
import { storedBytes, type GgmlType } from './types';
import { align, ARRAY, MAGIC, scalarOf, STRING, type ScalarKind } from './values';

const VERSION = 3;

/** A value of the metadata with the kind that it is stored as. */
export type GgufValue =
  | { readonly kind: ScalarKind; readonly value: number | boolean }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly list: ScalarKind; readonly value: readonly number[] }
  | { readonly list: 'string'; readonly value: readonly string[] };

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** A tensor that is going to be written. */
export interface PlannedTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Rows first, as in a Hub file. */
  readonly shape: readonly number[];
}

/** Head of a file with these tensors, padded to where the first of them begins, and the bytes of the whole file. */
export function ggufHead(
  metadata: GgufMetadata,
  tensors: readonly PlannedTensor[],
): { readonly head: Uint8Array; readonly size: number } {
  const head = new HeadWriter();
  head.bytes(encodeUtf8(MAGIC));
  head.scalar('u32', VERSION);
  head.scalar('u64', tensors.length);
  head.scalar('u64', metadata.size);
  for (const [key, value] of metadata) {
    head.text(key);
    head.value(value);
  }
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    head.text(name);
    head.scalar('u32', shape.length);
    for (const extent of [...shape].reverse()) head.scalar('u64', extent);
    head.scalar('u32', type.code);
    head.scalar('u64', offset);
    offset += align(storedBytes(type, shape));
  }
  const bytes = head.finish();
  return { head: bytes, size: bytes.byteLength + offset };
}

/** The zeros that follow a tensor of so many bytes. */
export function paddingAfter(bytes: number): Uint8Array {
  return new Uint8Array(align(bytes) - bytes);
}

class HeadWriter {
  private buffer = new Uint8Array(2 ** 16);
  private view = new DataView(this.buffer.buffer);
  private length = 0;

  value(value: GgufValue): void {
    if ('kind' in value) {
      this.scalar('u32', value.kind === 'string' ? STRING : scalarOf(value.kind).code);
      if (value.kind === 'string') this.text(value.value);
      else this.scalar(value.kind, Number(value.value));
      return;
    }
    this.scalar('u32', ARRAY);
    this.scalar('u32', value.list === 'string' ? STRING : scalarOf(value.list).code);
    this.scalar('u64', value.value.length);
    if (value.list === 'string') for (const text of value.value) this.text(text);
    else for (const item of value.value) this.scalar(value.list, item);
  }

  text(text: string): void {
    const bytes = encodeUtf8(text);
    this.scalar('u64', bytes.byteLength);
    this.bytes(bytes);
  }

  scalar(kind: ScalarKind, value: number): void {
    const { bytes, write } = scalarOf(kind);
    const at = this.advance(bytes);
    write(this.view, at, value);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.advance(bytes.byteLength);
    this.buffer.set(bytes, at);
  }

  /** What was written, with zeros up to a multiple of the alignment. */
  finish(): Uint8Array {
    this.advance(align(this.length) - this.length);
    return this.buffer.slice(0, this.length);
  }

  /** Makes room for the next bytes, and returns where they start. */
  private advance(bytes: number): number {
    const from = this.length;
    this.length += bytes;
    if (this.length > this.buffer.byteLength) {
      const larger = new Uint8Array(2 * this.length);
      larger.set(this.buffer);
      this.buffer = larger;
      this.view = new DataView(larger.buffer);
    }
    return from;
  }
}
