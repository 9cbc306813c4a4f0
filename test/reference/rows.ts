import type { Values } from './values';

/** x[N, C] in parts of that many rows. */
export function splitRows(x: Values, rows: readonly number[], channels: number): Float64Array[] {
  let start = 0;
  return rows.map((n) => {
    const part = Float64Array.from({ length: n * channels }, (_, i) => x[start + i]!);
    start += n * channels;
    return part;
  });
}

/** The parts one after the other. */
export function concatRows(parts: readonly Values[]): Float64Array {
  return Float64Array.from(parts.flatMap((part) => Array.from(part)));
}
