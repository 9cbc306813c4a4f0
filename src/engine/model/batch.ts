/** A micro-batch as a program's leaves hold it: padded to one length, labels shifted, documents told apart. */
import type { Batch } from '../types';
import { refuseUnknownIds } from '../runtime/upload';

const IGNORED = -100;

/** No row of a batch. */
const NO_ROW = 2 ** 32 - 1;

export interface BatchLeaves {
  /** [B·T], padded on the right with token 0. */
  readonly ids: Uint32Array;
  /** [B·T]: what each row predicts, the token after it in its document; -100 where there is none or it isn't trained. */
  readonly labels: Int32Array;
  /** [B·T]: the rows that have a label, in order; past their count, `NO_ROW`. */
  readonly labelled: Uint32Array;
  readonly labelledCount: number;
  /** [B·T]: the index within its sequence of the first row of each row's document. */
  readonly first: Uint32Array;
}

/**
 * Pads to [batchSize, length]. Ids past the vocabulary are those of so many virtual tokens.
 * @throws `bad-data` for an id or a label outside the vocabulary.
 */
export function batchLeaves(
  batch: Batch,
  batchSize: number,
  length: number,
  vocabSize: number,
  virtualTokens = 0,
): BatchLeaves {
  const ids = new Uint32Array(batchSize * length);
  const labels = new Int32Array(ids.length).fill(IGNORED);
  // What no document covers is padding, each row of it a document of its own: it costs no attention.
  const first = Uint32Array.from(ids, (_, i) => i % length);
  batch.inputIds.forEach((row, b) => {
    ids.set(row, b * length);
    for (const { begin, end } of documentsOf(batch, b)) {
      labels.set(batch.labels[b]!.slice(begin + 1, end), b * length + begin);
      first.fill(begin, b * length + begin, b * length + end);
    }
  });
  refuseUnknownIds(ids, vocabSize + virtualTokens);
  refuseUnknownIds(
    labels.filter((label) => label !== IGNORED),
    vocabSize,
  );
  const labelled = new Uint32Array(labels.length).fill(NO_ROW);
  let labelledCount = 0;
  labels.forEach((label, row) => {
    if (label !== IGNORED) labelled[labelledCount++] = row;
  });
  return { ids, labels, labelled, labelledCount, first };
}

/** Labels that count in the loss. */
export function countLabels(batch: Batch): number {
  let count = 0;
  batch.labels.forEach((row, b) => {
    for (const { begin, end } of documentsOf(batch, b)) {
      for (let i = begin + 1; i < end; i++) if (row[i] !== IGNORED) count++;
    }
  });
  return count;
}

/** Tokens of the longest document. */
export function longestDocument(batch: Batch): number {
  const lengths = batch.inputIds.flatMap((_, b) => [...documentsOf(batch, b)].map(({ begin, end }) => end - begin));
  return Math.max(0, ...lengths);
}

/** Where each document of a row begins and ends, `end` exclusive. */
function* documentsOf(batch: Batch, row: number): Generator<{ begin: number; end: number }> {
  const tokens = batch.inputIds[row]!.length;
  let begin = 0;
  for (const length of batch.documents?.[row] ?? [tokens]) {
    yield { begin, end: begin + length };
    begin += length;
  }
  if (begin !== tokens) throw new Error(`row ${row} has ${tokens} tokens and documents of ${begin}`);
}
