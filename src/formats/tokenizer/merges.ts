/** The merges of a BPE model: which two neighbours join, in which order, to which token. */

/** A hash table from pairs of ids to ranks and joined ids, in flat arrays: it is asked several times a character. */
export class PairTable {
  private readonly keys: Int32Array;
  private readonly values: Int32Array;
  private readonly mask: number;

  /** `capacity` is the most pairs that it will hold. */
  constructor(capacity: number) {
    const slots = 2 ** Math.ceil(Math.log2(2 * capacity + 2));
    this.mask = slots - 1;
    this.keys = new Int32Array(2 * slots).fill(-1);
    this.values = new Int32Array(2 * slots).fill(-1);
  }

  /** A later rank of a pair replaces an earlier one. */
  set(left: number, right: number, rank: number, joined: number): void {
    const slot = this.slotOf(left, right);
    this.keys[2 * slot] = left;
    this.keys[2 * slot + 1] = right;
    this.values[2 * slot] = rank;
    this.values[2 * slot + 1] = joined;
  }

  /** The rank of a pair, -1 where it doesn't join. */
  rankOf(left: number, right: number): number {
    return this.values[2 * this.slotOf(left, right)]!;
  }

  joinedOf(left: number, right: number): number {
    return this.values[2 * this.slotOf(left, right) + 1]!;
  }

  private slotOf(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.mask;
    while (this.keys[2 * slot] !== -1 && (this.keys[2 * slot] !== left || this.keys[2 * slot + 1] !== right)) {
      slot = (slot + 1) & this.mask;
    }
    return slot;
  }
}

/** Up to this many symbols, looking at all of them for each merge is faster than a heap. */
const FEW = 24;

/**
 * Joins neighbours in `symbols` until none is left that the table joins: always the pair of the lowest rank, of equal
 * ones the leftmost. The same result as the Rust library's queue, in time n log n.
 */
export function mergeSymbols(symbols: number[], table: PairTable): number[] {
  return symbols.length <= FEW ? mergeFew(symbols, table) : mergeMany(symbols, table);
}

function mergeFew(symbols: number[], table: PairTable): number[] {
  const ranks: number[] = [];
  for (let i = 0; i + 1 < symbols.length; i++) ranks.push(table.rankOf(symbols[i]!, symbols[i + 1]!));
  for (;;) {
    let best = -1;
    for (let i = 0; i < ranks.length; i++) {
      if (ranks[i]! >= 0 && (best < 0 || ranks[i]! < ranks[best]!)) best = i;
    }
    if (best < 0) return symbols;
    symbols[best] = table.joinedOf(symbols[best]!, symbols[best + 1]!);
    for (let i = best + 1; i + 1 < symbols.length; i++) {
      symbols[i] = symbols[i + 1]!;
      ranks[i - 1] = ranks[i]!;
    }
    symbols.pop();
    ranks.pop();
    if (best > 0) ranks[best - 1] = table.rankOf(symbols[best - 1]!, symbols[best]!);
    if (best < ranks.length) ranks[best] = table.rankOf(symbols[best]!, symbols[best + 1]!);
  }
}

/** A place in a text is below this, and a rank above it in a key: both fit a double exactly. */
const PLACES = 2 ** 30;

function mergeMany(symbols: readonly number[], table: PairTable): number[] {
  const n = symbols.length;
  const ids = Int32Array.from(symbols);
  const next = new Int32Array(n);
  const previous = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    next[i] = i + 1 < n ? i + 1 : -1;
    previous[i] = i - 1;
  }
  // Each merge takes one key and adds two at most.
  const heap = new Heap(2 * n);
  const offer = (left: number) => {
    if (left < 0 || next[left]! < 0) return;
    const rank = table.rankOf(ids[left]!, ids[next[left]!]!);
    if (rank >= 0) heap.push(rank * PLACES + left);
  };
  for (let i = 0; i < n; i++) offer(i);
  while (heap.size > 0) {
    const key = heap.pop();
    const left = key % PLACES;
    const right = next[left]!;
    // What has been joined since has another rank, or is gone.
    if (ids[left]! < 0 || right < 0) continue;
    if (table.rankOf(ids[left]!, ids[right]!) !== (key - left) / PLACES) continue;
    ids[left] = table.joinedOf(ids[left]!, ids[right]!);
    ids[right] = -1;
    next[left] = next[right]!;
    if (next[left] >= 0) previous[next[left]] = left;
    offer(previous[left]!);
    offer(left);
  }
  const merged: number[] = [];
  for (let i = 0; i >= 0; i = next[i]!) merged.push(ids[i]!);
  return merged;
}

/** A binary heap of numbers, the least first. */
class Heap {
  private readonly keys: Float64Array;
  size = 0;

  /** `capacity` is the most numbers that it will hold. */
  constructor(capacity: number) {
    this.keys = new Float64Array(capacity);
  }

  push(key: number): void {
    const { keys } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  /** The least of at least one. */
  pop(): number {
    const { keys } = this;
    const least = keys[0]!;
    const size = --this.size;
    const key = keys[size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= key) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = key;
    return least;
  }
}
