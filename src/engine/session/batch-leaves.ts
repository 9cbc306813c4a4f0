/** Micro-batches on their way into the leaves that training, evaluation and `forward` read. */
import { virtualTokens } from '../../core/adapter';
import { GraftError } from '../../core/errors';
import { batchLeaves, longestDocument } from '../model/batch';
import { LEAF } from '../model/leaves';
import type { Batch, BatchShape } from '../types';
import type { BatchViewPlan, SessionCore } from './view';
import { plainLeaves } from './virtual-tokens';

/** What of its program a batch needs. */
export interface WrittenBatch {
  /** Padded. */
  readonly length: number;
  /** Labelled rows, by which a run leaves out what there is nothing to do for: see `Memory.run`. */
  readonly rows: number;
}

/**
 * Writes a batch's leaves, those that the view's programs read; where it is asked of the model with virtual tokens, they are
 * there already.
 */
export function writeBatch(
  { memory, rotary, model }: SessionCore,
  { reads }: BatchViewPlan,
  shape: BatchShape,
  batch: Batch,
): WrittenBatch {
  if (batch.documents && !shape.packing) throw new Error('rows of several documents were not planned for');
  const length = lengthFor(shape, batch);
  const leaves = batchLeaves(batch, shape.batchSize, length, model.spec.vocabSize, virtualTokens(model));
  memory.write(LEAF.ids, leaves.ids);
  // Embeddings have no labels; an objective may have targets of its own in their place, or no use for labelled rows.
  if (reads.has(LEAF.labels)) memory.write(LEAF.labels, leaves.labels);
  if (reads.has(LEAF.labelled)) memory.write(LEAF.labelled, leaves.labelled);
  if (reads.has(LEAF.plainIds)) {
    const { ids, rows } = plainLeaves(leaves.ids, length, virtualTokens(model));
    memory.write(LEAF.plainIds, ids);
    memory.write(LEAF.plainRows, rows);
  }
  if (shape.packing) memory.write(LEAF.first, leaves.first);
  rotary.useFor(longestDocument(batch));
  return { length, rows: leaves.labelledCount };
}

/** The padded length that fits the batch. */
function lengthFor({ batchSize, lengths }: BatchShape, batch: Batch): number {
  const longest = Math.max(...batch.inputIds.map((row) => row.length));
  const length = lengths.find((candidate) => candidate >= longest);
  if (length === undefined || batch.inputIds.length > batchSize) {
    throw new Error(`a batch of ${batch.inputIds.length} rows of up to ${longest} tokens was not planned for`);
  }
  return length;
}

export function refuseUnlabelled(tokens: number): void {
  if (tokens > 0) return;
  throw new GraftError(
    'bad-data',
    'Nothing in this batch is trained on: every label is masked (-100). Check the template and max_length.',
  );
}
