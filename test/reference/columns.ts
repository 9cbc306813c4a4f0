import type { Values } from './values';

/** x[N, Σ columns] as parts of that many columns each. */
export function splitColumns(x: Values, columns: readonly number[]): Float64Array[] {
  const total = columns.reduce((sum, n) => sum + n, 0);
  let first = 0;
  return columns.map((n) => {
    const start = first;
    first += n;
    const rows = x.length / total;
    return Float64Array.from({ length: rows * n }, (_, i) => x[Math.floor(i / n) * total + start + (i % n)]!);
  });
}

/** Parts with that many columns each, side by side. */
export function concatColumns(parts: readonly Values[], columns: readonly number[]): Float64Array {
  const rows = parts[0]!.length / columns[0]!;
  return Float64Array.from(
    Array.from({ length: rows }, (_, row) =>
      parts.flatMap((part, i) => Array.from(part).slice(row * columns[i]!, (row + 1) * columns[i]!)),
    ).flat(),
  );
}
