/** A dataset file to what a run trains on: tokens with masked labels, split, and the lengths to pad to. */
import type { RunConfig } from '../../core/config';
import type { DecoderSpec } from '../../core/spec';
import type { ChatTemplate, Tokenizer } from '../../core/text';
import { epochRows, stepsPerEpoch, trainEvalSplit, type BatchingOptions, type Row } from '../../data/batches';
import { bucketLengths } from '../../data/buckets';
import { parseDataset, type Dataset } from '../../data/dataset';
import { tokenizeDataset, type TokenizedDataset, type TokenizedExample } from '../../data/tokenize';
import { datedTemplate } from './template-date';

/** A dataset as the user gave it. */
export interface DatasetFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The part of a model that data need; a `HubModel` is one. */
export interface TextModel {
  readonly spec: DecoderSpec;
  readonly tokenizer: Tokenizer | undefined;
  readonly template: ChatTemplate | undefined;
}

export interface PreparedData {
  readonly dataset: Dataset;
  readonly tokenized: TokenizedDataset;
  readonly train: readonly TokenizedExample[];
  /** Rows that the training examples make in each epoch: one an example, or fewer where they are packed. */
  readonly trainRows: number;
  readonly eval: readonly Row[];
  /** Padded lengths that batches may have, in tokens, ascending. */
  readonly lengths: readonly number[];
  /** Optimiser steps of one epoch, and of the whole run. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/** @throws `bad-data` naming the row, `bad-config` from the template or the split. */
export async function prepareData(run: RunConfig, model: TextModel, file: DatasetFile): Promise<PreparedData> {
  const maxLength = effectiveMaxLength(run, model.spec);
  const dataset = firstRows(
    await parseDataset(file.name, file.bytes, { maxBadRows: run.max_bad_rows }),
    run.max_train_samples,
  );
  const tokenized = tokenizeDataset(dataset, {
    tokenizer: model.tokenizer,
    template: datedTemplate(run, model.template),
    vocabSize: model.spec.vocabSize,
    maxLength,
    assistantOnlyLoss: run.assistant_only_loss,
  });
  const { train, eval: held } = trainEvalSplit(tokenized.examples, run.val_set_size, run.seed);
  const batches = batching(run, maxLength);
  const trainRows = epochRows(train, 0, batches);
  const evalRows = epochRows(held, 0, { ...batches, shuffle: false });
  const perEpoch = stepsPerEpoch(trainRows.length, batches);
  return {
    dataset,
    tokenized,
    train,
    trainRows: trainRows.length,
    eval: evalRows,
    lengths: bucketLengths([...trainRows, ...evalRows].map(rowLength), maxLength),
    stepsPerEpoch: perEpoch,
    totalSteps: run.max_steps > 0 ? run.max_steps : Math.ceil(run.num_train_epochs * perEpoch),
  };
}

/** Tokens of a row. */
export function rowLength(row: Row): number {
  return row.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
}

function firstRows(dataset: Dataset, count: number | undefined): Dataset {
  return count === undefined ? dataset : { ...dataset, examples: dataset.examples.slice(0, count) };
}

/** Tokens of a row: the run's limit, or the model's where that is lower. */
export function effectiveMaxLength(run: RunConfig, spec: DecoderSpec): number {
  return Math.min(run.max_length, spec.maxPositions);
}

/** `maxLength` as `effectiveMaxLength` gives it. */
export function batching(run: RunConfig, maxLength: number): BatchingOptions {
  return {
    batchSize: run.per_device_train_batch_size,
    gradientAccumulationSteps: run.gradient_accumulation_steps,
    shuffle: run.shuffle,
    seed: run.seed,
    packTo: run.packing ? maxLength : undefined,
  };
}
