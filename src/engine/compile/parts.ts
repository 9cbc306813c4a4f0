/**
 * Tables that are larger than a binding may be are stored in parts of whole rows, a leaf each: `NAME#0`, `NAME#1`, ….
 * Files know whole tensors only.
 */
import { BYTES_PER_ELEMENT, elementCount, type DType } from '../../core/dtypes';
import type { ParameterSpec } from '../../core/spec';
import type { WeightSlice } from '../../core/weights';
import { byteSize } from '../graph/tensor';

/**
 * WebGPU's default `maxStorageBufferBindingSize`: what every device can bind. Parts are cut by it on every device, so
 * that plans, and the order of sums, are the same on all.
 */
export const BINDING_BYTES = 128 * 1024 * 1024;

/** Parts begin at multiples of this many rows: blocks of quantised types and aligned bindings are whole then. */
const ROW_STEP = 64;

/** The parts of a table [rows, columns] that stay within `bytes` each, alike in size; the table itself where it does. */
export function partsOf(table: ParameterSpec, dtype: DType, bytes = BINDING_BYTES): ParameterSpec[] {
  const [rows, ...rest] = table.shape as [number, ...number[]];
  if (byteSize({ shape: table.shape, dtype }) <= bytes) return [table];
  const stepBytes = byteSize({ shape: [ROW_STEP, ...rest], dtype });
  const most = Math.max(1, Math.floor(bytes / stepBytes));
  const steps = Math.ceil(rows / ROW_STEP);
  const size = ROW_STEP * Math.ceil(steps / Math.ceil(steps / most));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => ({
    name: `${table.name}#${i}`,
    shape: [Math.min(size, rows - i * size), ...rest],
  }));
}

/** The whole of a part, or of what is named after one (its moments): the name without its number. */
function wholeName(name: string): string {
  return name.replace(/#\d+/, '');
}

/** Tensors by the name of their whole, its parts in order. */
export function byWhole<T extends ParameterSpec>(tensors: readonly T[]): Map<string, T[]> {
  const wholes = new Map<string, T[]>();
  for (const tensor of tensors) {
    const name = wholeName(tensor.name);
    wholes.set(name, [...(wholes.get(name) ?? []), tensor]);
  }
  return wholes;
}

export function wholeShape(parts: readonly ParameterSpec[]): number[] {
  const [, ...rest] = parts[0]!.shape;
  return [parts.reduce((sum, { shape }) => sum + shape[0]!, 0), ...rest];
}

/** Puts parts together again, in the order of the first of each. */
export function joinParts<T extends ParameterSpec & { readonly bytes: Uint8Array }>(tensors: readonly T[]): T[] {
  return [...byWhole(tensors)].map(([name, parts]) => {
    if (parts.length === 1) return parts[0]!;
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.bytes.byteLength, 0));
    let start = 0;
    for (const part of parts) {
      bytes.set(part.bytes, start);
      start += part.bytes.byteLength;
    }
    return { ...parts[0]!, name, shape: wholeShape(parts), bytes };
  });
}

/** A whole tensor as its parts; the bytes are views of its own. */
export function splitParts<T extends ParameterSpec & { readonly bytes: Uint8Array }>(
  tensor: T,
  parts: readonly ParameterSpec[],
): T[] {
  if (parts.length === 1) return [tensor];
  const elementBytes = tensor.bytes.byteLength / elementCount(tensor.shape);
  let start = 0;
  return parts.map(({ name, shape }) => {
    const end = start + elementBytes * elementCount(shape);
    const bytes = tensor.bytes.subarray(start, end);
    start = end;
    return { ...tensor, name, shape, bytes };
  });
}

/** Rows of a tensor that a part holds. */
export interface PartRows {
  readonly part: ParameterSpec;
  /** The row of the part that `bytes` begins with. */
  readonly firstRow: number;
  readonly bytes: Uint8Array;
}

/** Rows `firstRow` and on of a whole tensor by the parts that they lie in; the bytes are views of its own. */
export function rowsByPart(
  { shape, dtype, firstRow = 0, bytes }: WeightSlice,
  parts: readonly ParameterSpec[],
): PartRows[] {
  const rowBytes = BYTES_PER_ELEMENT[dtype] * elementCount(shape.slice(1));
  const end = firstRow + bytes.byteLength / rowBytes;
  let begin = 0;
  return parts.flatMap((part) => {
    const [rows = 1] = part.shape;
    const from = Math.max(firstRow, begin);
    const to = Math.min(end, begin + rows);
    const held = bytes.subarray((from - firstRow) * rowBytes, (to - firstRow) * rowBytes);
    const found = from < to ? [{ part, firstRow: from - begin, bytes: held }] : [];
    begin += rows;
    return found;
  });
}
