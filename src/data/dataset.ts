/** Dataset files to examples: every field of every row is used, refused by name, or named as left out. */
import { GraftError, errorCode } from '../core/errors';
import type { SkippedRow } from '../core/events';
import type { Dataset, Example } from './example';
import { DistillationReader } from './examples/distillation';
import { PairReader } from './examples/pairs';
import { ExampleReader } from './examples/reader';
import { checkSkipped, skippedNotice, skippedRow } from './left-out';
import type { ColumnMapping } from './reading/mapping';
import { readRows } from './rows';

export { IGNORED, type Dataset, type DatasetFormat, type Example } from './example';

export interface DatasetOptions {
  /** The share of rows that may be left out as unusable, any but all where absent; with more the file is refused. */
  readonly maxBadRows?: number;
  /** What the rows are read for: single answers where absent, pairs, or answers with what a teacher says of them. */
  readonly reads?: 'answers' | 'pairs' | 'teacher';
  /** Of what a teacher says: the likeliest tokens that are kept of each position, 0 for all. */
  readonly topK?: number;
  /** Which column of the file is which field, where the user says so. */
  readonly mapping?: ColumnMapping | undefined;
}

/**
 * Reads a dataset file row by row, in whichever format each row has.
 * @throws `bad-data` where the file can't be read, or more than the allowed share of its rows, or all.
 */
export async function parseDataset(
  fileName: string,
  content: Uint8Array | string,
  { maxBadRows = 1, reads = 'answers', topK = 0, mapping }: DatasetOptions = {},
): Promise<Dataset> {
  const file = await readRows(fileName, content, { mapping });
  const reader = readerOf(reads, topK);
  const examples: Example[] = [];
  const skipped: SkippedRow[] = [...file.unreadable];
  for (const row of file.rows) {
    try {
      examples.push(reader.read(row));
    } catch (error) {
      if (errorCode(error) !== 'bad-data') throw error;
      skipped.push(skippedRow(row, (error as GraftError).message));
    }
  }
  skipped.sort((a, b) => a.row - b.row);
  const rowCount = examples.length + skipped.length;
  checkSkipped(fileName, skipped, rowCount, maxBadRows);
  const leftOut = skippedNotice(skipped, rowCount);
  return {
    name: fileName,
    format: reader.formats().join(' and '),
    examples,
    rowCount,
    skipped,
    notices: [
      ...file.notices,
      ...reader.notices(),
      ...changedNumberNotice(file.changedNumbers, examples),
      ...(leftOut === undefined ? [] : [leftOut]),
    ],
  };
}

function readerOf(reads: NonNullable<DatasetOptions['reads']>, topK: number) {
  if (reads === 'pairs') return new PairReader();
  return reads === 'teacher' ? new DistillationReader(topK) : new ExampleReader();
}

/** A template that prints the numbers of tools, calls, documents or variables gets them as JavaScript has them. */
function changedNumberNotice(changed: ReadonlyMap<number, string>, examples: readonly Example[]): string[] {
  if (changed.size === 0) return [];
  for (const example of examples) {
    if (example.kind !== 'conversation') continue;
    const { tools, documents, variables, messages } = example.conversation;
    const value = findNumber([tools, documents, variables, messages.map((message) => message['tool_calls'])], changed);
    if (value === undefined) continue;
    return [
      `Numbers such as ${changed.get(value)!} reach the chat template as ${value}: where that matters, write them as text.`,
    ];
  }
  return [];
}

/** The first number in a value, at any depth, that is among these. */
function findNumber(value: unknown, among: ReadonlyMap<number, string>): number | undefined {
  if (typeof value === 'number') return among.has(value) ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const item of Object.values(value)) {
    const found = findNumber(item, among);
    if (found !== undefined) return found;
  }
  return undefined;
}
