/** Short documents into few rows, none split: best-fit decreasing, as TRL packs by default (arXiv:2404.10830). */

/**
 * Packs documents, each of at most `maxLength` tokens, into rows of at most that: the longest first, each into the
 * fullest row that it still fits. How many rows there are, and how long, follows from the documents' lengths alone, in
 * whatever order they come. Rows come by their earliest document, and a row's documents in the order given.
 */
export function packRows<T extends { readonly inputIds: readonly number[] }>(
  documents: readonly T[],
  maxLength: number,
): T[][] {
  const rows: number[][] = [];
  const open = new OpenRows();
  const lengthOf = (i: number) => documents[i]!.inputIds.length;
  const longestFirst = documents.map((_, i) => i).sort((a, b) => lengthOf(b) - lengthOf(a) || a - b);
  for (const document of longestFirst) {
    const { row, space } = open.takeFullest(lengthOf(document)) ?? { row: rows.push([]) - 1, space: maxLength };
    rows[row]!.push(document);
    open.put(row, space - lengthOf(document));
  }
  return rows
    .map((row) => row.sort((a, b) => a - b))
    .sort((a, b) => a[0]! - b[0]!)
    .map((row) => row.map((i) => documents[i]!));
}

/** Rows with space left, found by it. */
class OpenRows {
  /** Every space that some row has, ascending. */
  private readonly spaces: number[] = [];
  private readonly rowsOf = new Map<number, number[]>();

  put(row: number, space: number): void {
    if (space === 0) return;
    const rows = this.rowsOf.get(space);
    if (rows) rows.push(row);
    else {
      this.rowsOf.set(space, [row]);
      this.spaces.splice(this.indexFrom(space), 0, space);
    }
  }

  /** Removes a row with the least space that `length` fits in. */
  takeFullest(length: number): { row: number; space: number } | undefined {
    const index = this.indexFrom(length);
    const space = this.spaces[index];
    if (space === undefined) return undefined;
    const rows = this.rowsOf.get(space)!;
    const row = rows.pop()!;
    if (rows.length === 0) {
      this.rowsOf.delete(space);
      this.spaces.splice(index, 1);
    }
    return { row, space };
  }

  /** Index of the first space that is at least `least`. */
  private indexFrom(least: number): number {
    let low = 0;
    let high = this.spaces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.spaces[middle]! < least) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
