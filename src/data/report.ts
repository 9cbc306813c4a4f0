/** What the page and `graft data` show before training: each example's tokens, and the lengths of all. */
import type { DataReport, ExampleView, SkippedRow } from '../core/events';
import type { ChatTemplate, Tokenizer } from '../core/text';
import { IGNORED, type Dataset } from './dataset';
import { skippedNotice } from './left-out';
import type { TokenizedDataset } from './tokenize';
import type { TokenizedExample } from './tokenize-example';

const MAX_BINS = 24;

/** One example for display, of a pair both answers, the chosen one first; without a tokenizer a token's text is its id. */
export function exampleView(example: TokenizedExample, tokenizer: Tokenizer | undefined): ExampleView {
  if (example.rejected) {
    const [chosen, rejected] = sidesOf(example).map((side) => exampleView(side, tokenizer)) as [
      ExampleView,
      ExampleView,
    ];
    return { ...chosen, text: `${chosen.text}\n${rejected.text}`, tokens: [...chosen.tokens, ...rejected.tokens] };
  }
  const { row, inputIds, labels } = example;
  const texts = tokenizer ? tokenTexts(inputIds, tokenizer) : inputIds.map((id) => `${id} `);
  return {
    row,
    text: tokenizer ? tokenizer.decode(inputIds, { skipSpecialTokens: false }) : inputIds.join(' '),
    // The first position has nothing before it to be predicted from.
    tokens: inputIds.map((id, i) => ({ id, text: texts[i] ?? '', trained: i > 0 && labels[i] !== IGNORED })),
  };
}

/** An example as the sequences that it is trained as: of a pair the chosen answer, then the rejected one. */
export function sidesOf(example: TokenizedExample): TokenizedExample[] {
  const { row, inputIds, labels, rejected } = example;
  return rejected
    ? [
        { row, inputIds, labels },
        { row, ...rejected },
      ]
    : [example];
}

/**
 * Text of each token in its place. A token alone may lose its leading space or be part of a character: it is decoded
 * with the one before, and a character is shown at the token that completes it.
 */
export function tokenTexts(ids: readonly number[], tokenizer: Tokenizer): string[] {
  const decode = (from: number, to: number) => tokenizer.decode(ids.slice(from, to), { skipSpecialTokens: false });
  let from = 0;
  let shown = 0;
  return ids.map((_, i) => {
    const before = decode(from, shown);
    const text = decode(from, i + 1);
    // U+FFFD at the end is half a character, unless more tokens than a character has bytes say otherwise.
    if (text.endsWith('\uFFFD') && i - shown < 3) return '';
    from = shown;
    shown = i + 1;
    return text.slice(before.length);
  });
}

/** `maxExamples` rows are shown in full, from the first. */
export function dataReport(
  data: {
    readonly dataset: Omit<Dataset, 'examples'>;
    readonly tokenized: TokenizedDataset;
    readonly notices: readonly string[];
    readonly skipped: readonly SkippedRow[];
  },
  text: { readonly tokenizer: Tokenizer | undefined; readonly template: ChatTemplate | undefined },
  maxExamples = 50,
): DataReport {
  const { dataset, tokenized, notices, skipped } = data;
  const listed = [dataset, tokenized].map((part) => skippedNotice(part.skipped, dataset.rowCount));
  const sides = tokenized.examples.flatMap(sidesOf);
  const lengths = sides.map(({ inputIds }) => inputIds.length);
  const longestKept = lengths.reduce((most, length) => Math.max(most, length), 0);
  const binWidth = Math.max(8, Math.ceil((longestKept + 1) / MAX_BINS / 8) * 8);
  const histogram = new Array<number>(Math.floor(longestKept / binWidth) + 1).fill(0);
  for (const length of lengths) histogram[Math.floor(length / binWidth)]! += 1;
  return {
    rows: dataset.rowCount,
    kept: tokenized.examples.length,
    format: dataset.format,
    templateSource: ['tokens', 'pairs'].includes(dataset.format) ? 'none' : (text.template?.source ?? 'none'),
    trainedTokens: tokenized.trainedTokens,
    totalTokens: tokenized.totalTokens,
    longest: tokenized.longest,
    truncated: tokenized.truncated,
    skipped: [...skipped],
    notices: notices.filter((notice) => !listed.includes(notice)),
    histogram,
    binWidth,
    examples: tokenized.examples.slice(0, maxExamples).map((example) => exampleView(example, text.tokenizer)),
  };
}
