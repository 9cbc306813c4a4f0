/**
 * Exact match and token F1 of a short answer, as SQuAD scores them (Rajpurkar et al. 2016, arXiv:1606.05250, section
 * 6.1): case, punctuation, articles and white space don't count.
 */

/** ASCII punctuation, as Python's `string.punctuation`, and its typographic forms. */
const PUNCTUATION = /[!-/:-@[-`{-~‘’“”…–—]/gu;
/** Whole words; `\b` knows ASCII letters only and would find an article in "naïa". */
const ARTICLES = /(?<![\p{L}\p{N}])(?:a|an|the)(?![\p{L}\p{N}])/gu;

/** The words that count, separated by single spaces. */
export function normalizeAnswer(text: string): string {
  return text
    .toLowerCase()
    .normalize('NFC')
    .replace(PUNCTUATION, '')
    .replace(ARTICLES, ' ')
    .split(/\s+/u)
    .filter((word) => word !== '')
    .join(' ');
}

export function exactMatch(answer: string, expected: string): boolean {
  return normalizeAnswer(answer) === normalizeAnswer(expected);
}

/** Harmonic mean of precision and recall over words with their counts, 0 to 1; two empty answers agree. */
export function tokenF1(answer: string, expected: string): number {
  const given = words(answer);
  const wanted = words(expected);
  if (given.length === 0 || wanted.length === 0) return given.length === wanted.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of given) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    shared++;
  }
  return (2 * shared) / (given.length + wanted.length);
}

function words(text: string): string[] {
  const normalized = normalizeAnswer(text);
  return normalized === '' ? [] : normalized.split(' ');
}
