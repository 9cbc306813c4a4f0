/** A dataset to token ids and labels, in slices of time: what can't be used is left out and named. */
import { CutError, ExhaustedError, GraftError } from '../core/errors';
import type { SkippedRow } from '../core/events';
import { Pauses } from '../core/pauses';
import type { TeacherTokens } from '../core/teacher';
import { adviseOn } from './advice';
import type { Dataset, Example } from './dataset';
import type { LabelledIds } from './example';
import { Findings } from './findings';
import { checkSkipped, skippedNotice, skippedRow } from './left-out';
import {
  tokenizeExample,
  trainedLabels,
  type CheckedExample,
  type TokenizedExample,
  type TokenizeOptions,
} from './tokenize-example';

export interface TokenizedDataset {
  readonly examples: readonly TokenizedExample[];
  /** Rows that are trained and were cut to maxLength. */
  readonly truncated: number;
  /** Rows left out: the template refuses them, or nothing to train on was left of them after the cut. */
  readonly skipped: readonly SkippedRow[];
  /** Those of them that the template refuses. */
  readonly refused: readonly SkippedRow[];
  /** What the user should know before training, a sentence or two each. */
  readonly notices: readonly string[];
  /** Labels that count in the loss; the first of a row never does, for nothing comes before it. */
  readonly trainedTokens: number;
  readonly totalTokens: number;
  /** Tokens of the longest row, before any cut. */
  readonly longest: number;
}

const READS_NO_MORE = 'The model reads no more: shorten the rows, or choose a model that reads longer ones.';

/** Tells how many rows of how many are tokenised. */
export type TokenizeReport = (rows: number, totalRows: number) => void;

/**
 * Tokenises a dataset in slices of time; `report` is called between them.
 * @throws `bad-data` where too many rows can't be used or nothing at all would be trained on, `cancelled`.
 */
export async function tokenizeDataset(
  dataset: Dataset,
  options: TokenizeOptions,
  report: TokenizeReport = () => undefined,
  signal?: AbortSignal,
): Promise<TokenizedDataset> {
  const { maxLength, mostLength, template } = options;
  const stops = new Set(options.tokenizer?.stopTokenIds);
  const pauses = new Pauses(signal);
  const findings = new Findings();
  const refused: SkippedRow[] = [];
  const lost: SkippedRow[] = [];
  const examples: TokenizedExample[] = [];
  let stopped = 0;
  const remedy = maxLength === mostLength ? READS_NO_MORE : 'Raise max_length.';
  const totals = { truncated: 0, trainedTokens: 0, totalTokens: 0, longest: 0 };
  for (const [i, example] of dataset.examples.entries()) {
    if (pauses.isDue) {
      report(i, dataset.examples.length);
      await pauses.letOthersRun();
    }
    let whole: CheckedExample;
    try {
      whole = tokenizeExample(example, options);
    } catch (error) {
      const reason = refusalOf(error, example);
      if (reason === undefined) throw error;
      // One conversation may be too much for a template. One that is stopped again and again takes seconds a row.
      if (error instanceof GraftError && error.cause instanceof ExhaustedError) {
        if (stopped > 0 || examples.length === 0) throw error;
        stopped++;
      }
      refused.push(skippedRow(example, reason));
      continue;
    }
    const { findings: found, ...uncut } = whole;
    const sides = [whole, ...(whole.rejected ? [whole.rejected] : [])];
    const longest = Math.max(...sides.map(({ inputIds }) => inputIds.length));
    totals.longest = Math.max(totals.longest, longest);
    const isCut = longest > maxLength;
    const kept: TokenizedExample = isCut ? cutTo(maxLength, uncut) : uncut;
    const keptSides = [kept, ...(kept.rejected ? [kept.rejected] : [])];
    if (example.kind === 'conversation') {
      const endsTurn = kept.labels.some((label) => stops.has(label));
      findings.add({ row: example.row, endsTurn, isCut }, found);
    }
    const trained = keptSides.map(trainedLabels);
    if (trained.includes(0)) {
      lost.push(skippedRow(example, `has nothing to train on within max_length ${maxLength}`));
      continue;
    }
    if (isCut) totals.truncated++;
    totals.trainedTokens += trained.reduce((sum, count) => sum + count, 0);
    totals.totalTokens += keptSides.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
    examples.push(kept);
  }
  report(dataset.examples.length, dataset.examples.length);
  const { rowCount } = dataset;
  if (refused.length > 0)
    checkSkipped(dataset.name, inOrder(dataset.skipped, refused), rowCount, options.maxBadRows ?? 1);
  if (examples.length === 0) {
    throw new CutError(
      `Nothing in ${dataset.name} would be trained on: every response lies beyond max_length ${maxLength}. ${remedy}`,
      totals.longest,
    );
  }
  const skipped = inOrder(refused, lost);
  const leftOut = skippedNotice(skipped, rowCount);
  return {
    examples,
    ...totals,
    skipped,
    refused,
    notices: [
      ...(leftOut === undefined ? [] : [leftOut]),
      ...(template ? findings.notices(template, { maxLength, remedy }, adviseOn(findings, dataset, options)) : []),
    ],
  };
}

function cutTo(
  maxLength: number,
  { inputIds, labels, rejected, teacher, ...rest }: TokenizedExample,
): TokenizedExample {
  const cut = (side: LabelledIds) => ({
    inputIds: side.inputIds.slice(0, maxLength),
    labels: side.labels.slice(0, maxLength),
  });
  return {
    ...rest,
    ...cut({ inputIds, labels }),
    ...(rejected && { rejected: cut(rejected) }),
    ...(teacher && { teacher: firstTokens(teacher, maxLength) }),
  };
}

function firstTokens({ perToken, ids, logProbs }: TeacherTokens, count: number): TeacherTokens {
  const end = count * perToken;
  return { perToken, ids: ids.slice(0, end), logProbs: logProbs.slice(0, end) };
}

function inOrder(...lists: readonly (readonly SkippedRow[])[]): SkippedRow[] {
  return lists.flat().sort((a, b) => a.row - b.row);
}

/** What is wrong with a row alone, to go on from its name; undefined for an error that all rows would have. */
export function refusalOf(error: unknown, { where }: Pick<Example, 'where'>): string | undefined {
  if (!(error instanceof GraftError) || !['bad-data', 'bad-config', 'unsupported'].includes(error.code))
    return undefined;
  const { message } = error;
  if (!message.startsWith(where)) return undefined;
  return message.slice(where.length).replace(/^:? /, '').replace(/\.$/, '');
}
