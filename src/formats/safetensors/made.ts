/** A safetensors file that is nowhere: its head is made at once, and the bytes of its tensors when they are read. */
import { BYTES_PER_ELEMENT, elementCount, type FloatDType } from '../../core/dtypes';
import { safetensorsHeader } from './write';

export interface MadeTensor {
  readonly name: string;
  readonly dtype: FloatDType;
  readonly shape: readonly number[];
  /** Bytes `start` to `end` (exclusive) of it. */
  read(start: number, end: number): Promise<Uint8Array>;
}

export class MadeFile {
  readonly size: number;
  private readonly head: Uint8Array;
  private readonly placed: readonly { readonly tensor: MadeTensor; readonly start: number; readonly end: number }[];

  constructor(tensors: readonly MadeTensor[]) {
    this.head = safetensorsHeader(tensors);
    let at = this.head.byteLength;
    this.placed = tensors.map((tensor) => {
      const start = at;
      at += elementCount(tensor.shape) * BYTES_PER_ELEMENT[tensor.dtype];
      return { tensor, start, end: at };
    });
    this.size = at;
  }

  async read(start = 0, asked = this.size): Promise<Uint8Array> {
    const end = Math.min(asked, this.size);
    const result = new Uint8Array(Math.max(0, end - start));
    result.set(this.head.subarray(start, end));
    for (const { tensor, start: from, end: to } of this.placed) {
      const [first, last] = [Math.max(start, from), Math.min(end, to)];
      if (first >= last) continue;
      const bytes = await tensor.read(first - from, last - from);
      if (first === start && last === end) return bytes;
      result.set(bytes, first - start);
    }
    return result;
  }
}
