/** A dataset file to what a run trains on: tokens with masked labels, split, and the lengths to pad to. */
import type { RunConfig } from '../../core/config';
import type { SkippedRow } from '../../core/events';
import { plural } from '../../core/format';
import type { DecoderSpec } from '../../core/spec';
import { encodeUtf8 } from '../../core/store';
import type { ChatTemplate, Tokenizer } from '../../core/text';
import { epochRows, stepsPerEpoch, trainEvalSplit, type BatchingOptions, type Row } from '../../data/batches';
import { bucketLengths } from '../../data/buckets';
import { checkSkipped } from '../../data/left-out';
import { parseDataset, type Dataset } from '../../data/dataset';
import { readBeginning } from '../../data/reading/beginning';
import { tokenizeDataset, type TokenizedDataset, type TokenizeReport } from '../../data/tokenize';
import type { TokenizedExample } from '../../data/tokenize-example';
import { refuseLongPrompt } from '../../formats/peft-prompt';
import { toBatch } from './batch';
import type { ObjectiveSources } from './options';
import { tunesPrompt, virtualTokensOf } from './prompt-tuning';
import { unreadVariables } from './run-template';
import { datedTemplate, templateDay } from './template-date';

/** A dataset as the user gave it. */
export interface DatasetFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The beginning of a dataset file, and the size of all of it. */
export interface DatasetHead extends DatasetFile {
  readonly totalBytes: number;
}

/** The part of a model that data need; a `HubModel` is one. */
export interface TextModel {
  readonly spec: Pick<DecoderSpec, 'vocabSize' | 'maxPositions'>;
  readonly tokenizer: Tokenizer | undefined;
  readonly template: ChatTemplate | undefined;
}

/** What is known of a dataset once its rows are tokenised. */
export type DatasetFacts = Omit<Dataset, 'examples'> & {
  /** Rows that the run takes, before any is found to have nothing to train on. */
  readonly exampleCount: number;
  /** Whether any of them is a conversation, for which the model's template is asked. */
  readonly hasConversations: boolean;
};

/** A dataset as a model reads it: what takes time to make, and depends on few of a run's settings. */
export interface ReadData {
  readonly dataset: DatasetFacts;
  readonly tokenized: TokenizedDataset;
  /** What the user should know before training, a sentence or two each. */
  readonly notices: readonly string[];
  /** Rows of the file that are left out, in its order. */
  readonly skipped: readonly SkippedRow[];
}

export interface PreparedData extends ReadData {
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

/**
 * Reads, renders and tokenises a dataset and arranges it for a run.
 * @throws `bad-data` naming the row, `bad-config` from the template or the split, `cancelled`.
 */
export async function prepareData(
  run: RunConfig,
  model: TextModel,
  file: DatasetFile,
  report?: TokenizeReport,
  signal?: AbortSignal,
): Promise<PreparedData> {
  return arrangeData(run, model, await readData(run, model, file, report, signal));
}

/**
 * Reads, renders and tokenises a dataset, in slices of time; `model` is asked as `withRunTemplate` gives it. However many
 * rows can't be used, the others are read.
 * @throws as `prepareData` does, but for the split and the share of rows that are left out
 */
export async function readData(
  run: RunConfig,
  model: TextModel,
  file: DatasetFile,
  report?: TokenizeReport,
  signal?: AbortSignal,
): Promise<ReadData> {
  const parsed = await parseDataset(file.name, file.bytes, {
    reads: READS[run.method],
    topK: run.loss_top_k,
    mapping: run.dataset_mapping,
  });
  const dataset = firstRows(parsed, run.max_train_samples);
  report?.(0, dataset.examples.length);
  const options = {
    tokenizer: model.tokenizer,
    template: datedTemplate(run, model.template),
    vocabSize: model.spec.vocabSize,
    maxLength: effectiveMaxLength(run, model.spec),
    mostLength: effectiveMaxLength({ ...run, max_length: Infinity }, model.spec),
    assistantOnlyLoss: run.assistant_only_loss,
  };
  const tokenized = await tokenizeDataset(dataset, options, report, signal);
  const { examples, ...facts } = dataset;
  return {
    dataset: {
      ...facts,
      exampleCount: examples.length,
      hasConversations: examples.some(({ kind }) => kind === 'conversation'),
    },
    tokenized,
    notices: [
      ...dataset.notices,
      ...fallbackNotice(model, dataset),
      ...unreadVariables(run, model.template),
      ...tokenized.notices,
    ],
    skipped: [...dataset.skipped, ...tokenized.skipped].sort((a, b) => a.row - b.row),
  };
}

const READS = { sft: 'answers', dpo: 'pairs', distill: 'teacher' } as const;

/** Rows that are shown before the rest of a large file is read. */
const FIRST_ROWS = 100;

/**
 * The first rows of a large file, read as the run would read them, and how many rows the whole has by its size;
 * undefined where the whole is as quick to read, or where the first rows can't be told by themselves.
 */
export async function readFirstRows(
  run: RunConfig,
  model: TextModel,
  { name, bytes, totalBytes }: DatasetHead,
): Promise<{ data: ReadData; estimatedRows: number } | undefined> {
  const beginning = readBeginning(bytes, FIRST_ROWS);
  if (!beginning || beginning.bytes * 2 > totalBytes) return undefined;
  const estimatedRows = Math.round((beginning.rows * totalBytes) / beginning.bytes);
  return { data: await readData(run, model, { name, bytes: encodeUtf8(beginning.text) }), estimatedRows };
}

/** Names what `readData` makes of a file: two runs with one key read it alike. */
export function readingKey(run: RunConfig, model: TextModel): string {
  return JSON.stringify([
    effectiveMaxLength(run, model.spec),
    run.max_train_samples ?? null,
    run.method,
    run.loss_top_k,
    run.dataset_mapping ?? null,
    run.assistant_only_loss,
    run.chat_template ?? model.template?.text ?? null,
    run.chat_template_kwargs ?? null,
    templateDay(run, model.template) ?? null,
  ]);
}

/** Names how `arrangeData` arranges what was read: two runs with one key arrange the same reading alike. */
export function arrangementKey(run: RunConfig): string {
  const { per_device_train_batch_size, gradient_accumulation_steps, shuffle, seed, packing, val_set_size } = run;
  return JSON.stringify([
    run.max_bad_rows,
    ...[per_device_train_batch_size, gradient_accumulation_steps, shuffle, seed, packing, val_set_size],
    ...[run.max_steps, run.num_train_epochs],
  ]);
}

/**
 * Splits, packs and batches what was read, as the run says.
 * @throws `bad-data` where more rows can't be used than the run allows, `bad-config` where none is left to train on
 */
export function arrangeData(run: RunConfig, model: TextModel, data: ReadData): PreparedData {
  checkBadRows(run, data);
  const maxLength = effectiveMaxLength(run, model.spec);
  const { train, eval: held } = trainEvalSplit(data.tokenized.examples, run.val_set_size, run.seed);
  const batches = batching(run, maxLength);
  const trainRows = epochRows(train, 0, batches);
  const evalRows = epochRows(held, 0, { ...batches, shuffle: false });
  const perEpoch = stepsPerEpoch(trainRows.length, batches);
  return {
    ...data,
    notices: [...data.notices, ...emptyRowNotices(run, trainRows.length)],
    train,
    trainRows: trainRows.length,
    eval: evalRows,
    lengths: bucketLengths([...trainRows, ...evalRows].flatMap(rowLengths), maxLength),
    stepsPerEpoch: perEpoch,
    totalSteps: run.max_steps > 0 ? run.max_steps : Math.ceil(run.num_train_epochs * perEpoch),
  };
}

/** Rows of a batch without any that cost nothing worth a word. */
const FEW_EMPTY_ROWS = 8;

/** A batch has its size whatever there is to put into it: rows that there aren't take time and memory as others do. */
function emptyRowNotices({ per_device_train_batch_size: size }: RunConfig, rows: number): string[] {
  if (size - rows < FEW_EMPTY_ROWS) return [];
  return [
    `per_device_train_batch_size is ${size}, and there are ${plural(rows, 'row')} to train on: the rest of each batch is empty, and ` +
      `takes time and memory all the same. ${rows} trains the same.`,
  ];
}

/** @throws `bad-data` where more of the rows that were read can't be used than `max_bad_rows` allows */
export function checkBadRows({ max_bad_rows }: RunConfig, { dataset, tokenized }: ReadData): void {
  const unusable = [...dataset.skipped, ...tokenized.refused].sort((a, b) => a.row - b.row);
  checkSkipped(dataset.name, unusable, dataset.rowCount, max_bad_rows);
}

/** A model that doesn't say how it is asked is asked in a format of Graft's choice, which is then the adapter's own. */
function fallbackNotice({ template }: TextModel, { examples }: Dataset): string[] {
  if (template?.source !== 'alpaca' || !examples.some(({ kind }) => kind === 'conversation')) return [];
  return [
    'The model has no chat template: this run trains the Alpaca prompt format ("### Instruction:", "### Response:") and ' +
      'saves it as chat_template.jinja with what is trained. Set chat_template_path for another one.',
  ];
}

/** Tokens of each sequence of a row. */
function rowLengths(row: Row): number[] {
  return toBatch([row]).inputIds.map(({ length }) => length);
}

/** The first rows that can be used, with those left out among them. */
function firstRows(dataset: Dataset, count = Infinity): Dataset {
  const { examples, skipped } = dataset;
  const next = examples[count];
  if (!next) return dataset;
  return { ...dataset, examples: examples.slice(0, count), skipped: skipped.filter(({ row }) => row < next.row) };
}

/**
 * Tokens of a row: the run's limit, or the model's where that is lower, which virtual tokens take room of.
 * Throws `bad-config` where they leave none.
 */
export function effectiveMaxLength(run: RunConfig, spec: Pick<DecoderSpec, 'maxPositions'>): number {
  if (tunesPrompt(run)) refuseLongPrompt('num_virtual_tokens asks for', run.num_virtual_tokens, spec);
  return Math.min(run.max_length, spec.maxPositions - virtualTokensOf(run));
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

/** What the rows say of the objective. */
export function objectiveSources({ tokenized }: Pick<PreparedData, 'tokenized'>): ObjectiveSources {
  const { examples } = tokenized;
  const counts = examples.flatMap(({ teacher }) => teacher?.perToken ?? []);
  return {
    inRows: examples[0]?.referenceLogProbs !== undefined,
    targets: counts.length > 0 ? counts.reduce((most, count) => Math.max(most, count)) : undefined,
  };
}
