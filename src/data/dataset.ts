/** Dataset files to examples: every field of every row is used, refused by name, or named as left out. */
import { GraftError, errorCode } from '../core/errors';
import type { SkippedRow } from '../core/events';
import type { Dataset, Example } from './example';
import { ExampleReader } from './examples/reader';
import { checkSkipped, skippedNotice } from './left-out';
import { readRows } from './rows';

export { IGNORED, type Dataset, type DatasetFormat, type Example } from './example';

export interface DatasetOptions {
  /** The share of rows that may be left out as unusable; with more the file is refused. */
  readonly maxBadRows: number;
}

/**
 * Reads a dataset file (JSON, JSON Lines) row by row, in whichever format each row has.
 * @throws `bad-data` where the file can't be read, or more than the allowed share of its rows.
 */
export async function parseDataset(
  fileName: string,
  content: Uint8Array | string,
  { maxBadRows }: DatasetOptions,
): Promise<Dataset> {
  const file = await readRows(fileName, content);
  const reader = new ExampleReader();
  const examples: Example[] = [];
  const skipped: SkippedRow[] = [...file.unreadable];
  for (const row of file.rows) {
    try {
      examples.push(reader.read(row));
    } catch (error) {
      if (errorCode(error) !== 'bad-data') throw error;
      skipped.push({ row: row.row, reason: (error as GraftError).message });
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
      ...changedNumberNotice(file.changedNumber, examples),
      ...(leftOut === undefined ? [] : [leftOut]),
    ],
  };
}

/** A template that prints the numbers of tools, calls or variables gets them as JavaScript has them. */
function changedNumberNotice(written: string | undefined, examples: readonly Example[]): string[] {
  const mayPrint = examples.some((example) => {
    if (example.kind !== 'conversation') return false;
    const { tools, documents, variables, messages } = example.conversation;
    return Boolean(tools ?? documents ?? variables) || messages.some((message) => message['tool_calls'] !== undefined);
  });
  if (written === undefined || !mayPrint) return [];
  const read = String(Number(written));
  return [`Numbers such as ${written} reach the chat template as ${read}: where that matters, write them as text.`];
}
