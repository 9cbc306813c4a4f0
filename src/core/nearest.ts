/** Suggestions for misspelt names. */

/**
 * The option most like `word`: fewest insertions, deletions and replacements (Levenshtein 1966). A part of a longer
 * option (`batch_size`, `target_modules`) counts as one edit away from it.
 */
export function nearest(word: string, options: readonly string[]): string {
  const wanted = word.toLowerCase().replaceAll('-', '_');
  const distance = (option: string) =>
    wanted.length >= 4 && option.includes(wanted) ? 1 + option.length / 1000 : editDistance(wanted, option);
  return options.reduce((best, option) => (distance(option) < distance(best) ? option : best), options[0] ?? '');
}

export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
