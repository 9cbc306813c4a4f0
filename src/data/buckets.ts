/** Padded lengths: shapes are static on the GPU, so each micro-batch is padded to one of a few lengths. */

/** Lengths are rounded up to this many tokens. */
const MULTIPLE = 8;
const MAX_BUCKETS = 6;
/** Candidate lengths looked at; beyond, they are rounded to coarser multiples. */
const MAX_CANDIDATES = 128;

/**
 * At most six padded lengths, ascending, that cover every row (cut to `maxLength`) with the least padding: multiples of
 * eight, or `maxLength` itself. Exact for rows padded one by one, by dynamic programming over the candidates.
 */
export function bucketLengths(lengths: readonly number[], maxLength: number): number[] {
  const multiple = MULTIPLE * Math.ceil(maxLength / MULTIPLE / MAX_CANDIDATES);
  const counts = new Map<number, number>();
  for (const length of lengths) {
    const padded = Math.min(Math.ceil(Math.max(length, 1) / multiple) * multiple, maxLength);
    counts.set(padded, (counts.get(padded) ?? 0) + 1);
  }
  const sizes = [...counts.keys()].sort((a, b) => a - b);
  const rows = [0];
  for (const size of sizes) rows.push(rows.at(-1)! + counts.get(size)!);

  // cost[n]: padded tokens of the n shortest sizes in the buckets so far; each round allows one bucket more.
  let best: { cost: number; buckets: number[] }[] = rows.map((_, n) => ({ cost: n === 0 ? 0 : Infinity, buckets: [] }));
  for (let round = 0; round < MAX_BUCKETS; round++) {
    best = best.map((same, n) => {
      let chosen = same;
      for (let from = 0; from < n; from++) {
        const cost = best[from]!.cost + (rows[n]! - rows[from]!) * sizes[n - 1]!;
        if (cost < chosen.cost) chosen = { cost, buckets: [...best[from]!.buckets, sizes[n - 1]!] };
      }
      return chosen;
    });
  }
  return best.at(-1)!.buckets;
}
