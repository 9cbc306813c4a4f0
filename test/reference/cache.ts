import type { Values } from './values';

/** Rows of x[N, C]. */
export function gatherRows(x: Values, rows: Values, C: number): Float64Array {
  const y = new Float64Array(rows.length * C);
  for (let r = 0; r < rows.length; r++) {
    for (let c = 0; c < C; c++) y[r * C + c] = x[rows[r]! * C + c]!;
  }
  return y;
}

/** The cache [B, S, C] with x[B·T, C] written from position start[b] on; what falls past end[b] or S is dropped. */
export function kvAppend(
  x: Values,
  { start, end }: { start: Values; end: Values },
  cache: Values,
  { length, capacity, channels }: { length: number; capacity: number; channels: number },
): Float64Array {
  const updated = Float64Array.from(cache);
  for (let b = 0; b < start.length; b++) {
    for (let t = 0; t < length; t++) {
      const position = start[b]! + t;
      if (position >= Math.min(end[b]!, capacity)) continue;
      for (let c = 0; c < channels; c++) {
        updated[(b * capacity + position) * channels + c] = x[(b * length + t) * channels + c]!;
      }
    }
  }
  return updated;
}
