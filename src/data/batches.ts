/** Rows to optimiser steps: which rows, in which order. All of it follows from the seed, so that a run can be resumed. */
import { GraftError } from '../core/errors';
import { Random } from '../core/rng';
import { packRows } from './packing';
import type { TokenizedExample } from './tokenize-example';

/** Streams of the counter-based generator, apart from those of the engine (adapter, dropout). */
const SPLIT_STREAM = 0x5350_0000;
const SHUFFLE_STREAM = 0x5348_0000;
const PACK_STREAM = 0x5041_0000;

/** What stands end to end in one sequence: one document, or several that were packed. */
export type Row = readonly TokenizedExample[];

export interface BatchingOptions {
  /** Rows of a micro-batch. */
  readonly batchSize: number;
  /** Micro-batches of an optimiser step. */
  readonly gradientAccumulationSteps: number;
  readonly shuffle: boolean;
  readonly seed: number;
  /** Tokens that documents are packed into; absent gives each a row of its own. */
  readonly packTo?: number | undefined;
}

/**
 * The rows of one epoch (counted from 0), as many in each. Which documents share a row depends on seed and epoch where
 * rows are shuffled.
 */
export function epochRows(documents: readonly TokenizedExample[], epoch: number, options: BatchingOptions): Row[] {
  if (options.packTo === undefined) return documents.map((document) => [document]);
  const order = options.shuffle ? shuffled(documents, options.seed, PACK_STREAM + epoch) : documents;
  return packRows(order, options.packTo);
}

function shuffled<T>(items: readonly T[], seed: number, stream: number): T[] {
  return new Random(seed, stream).permutation(items.length).map((i) => items[i]!);
}

/** Optimiser steps of one epoch; a last partial one counts, as in Transformers' Trainer. */
export function stepsPerEpoch(rows: number, options: BatchingOptions): number {
  return Math.ceil(Math.ceil(rows / options.batchSize) / options.gradientAccumulationSteps);
}

/**
 * The micro-batches of one epoch (counted from 0) as `[step][microBatch][row]`. The order depends on seed and epoch
 * alone; the last micro-batch and the last step may be smaller.
 */
export function epochSteps<T>(rows: readonly T[], epoch: number, options: BatchingOptions): T[][][] {
  const order = options.shuffle ? shuffled(rows, options.seed, SHUFFLE_STREAM + epoch) : rows;
  return chunks(chunks(order, options.batchSize), options.gradientAccumulationSteps);
}

/** Micro-batches for evaluation, in order. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/**
 * Holds out rows for evaluation. `valSetSize` is a fraction of the rows below 1, a number of rows, or 0 for none; the
 * choice depends on the seed alone, and both parts keep the order of the file.
 * @throws `bad-config` where no row would be left to train on.
 */
export function trainEvalSplit<T>(rows: readonly T[], valSetSize: number, seed: number): { train: T[]; eval: T[] } {
  if (valSetSize === 0) return { train: [...rows], eval: [] };
  const heldOut = valSetSize < 1 ? Math.ceil(rows.length * valSetSize) : valSetSize;
  if (heldOut >= rows.length) {
    throw new GraftError(
      'bad-config',
      `val_set_size ${valSetSize} would hold out ${heldOut} of ${rows.length} rows and leave none to train on.`,
    );
  }
  const chosen = new Set(new Random(seed, SPLIT_STREAM).permutation(rows.length).slice(0, heldOut));
  return { train: rows.filter((_, i) => !chosen.has(i)), eval: rows.filter((_, i) => chosen.has(i)) };
}
