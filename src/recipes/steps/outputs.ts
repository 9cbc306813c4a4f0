/** What a run leaves in its folder. `graft.json` is written last: where it is, the run is finished and whole. */
import * as v from 'valibot';
import { formatRunConfig, type RunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import type { RunSummary, TrainerState } from '../../core/events';
import { hasAdapter } from '../../core/adapter';
import { encodeUtf8, type FileSource, type RunStore } from '../../core/store';
import { VERSION } from '../../core/version';
import type { WeightTensor } from '../../core/weights';
import type { DeviceInfo } from '../../engine';
import { modelCard, type ModelCard } from '../../formats/model-card';
import { adapterFiles, type AdapterFile } from '../../formats/peft';
import { writeSafetensors } from '../../formats/safetensors';
import type { AskedModel } from '../../formats/asked-model';
import { TEMPLATE_FILE } from '../../formats/saved-template';
import { memorySource } from '../../formats/sources';
import { sha256 } from '../../core/hash';
import { isCommit } from '../../hub/names';
import { baseModelOf } from './base-model';
import { ADAPTER_TEXT_FILES, adapterTextFiles, isTied, modelFolderFiles } from './model-folder';
import { adapterOf, type ShapedModel } from './options';
import { decodeText, FINITE, parseRecord, parseRunFile, WHOLE } from './records';

/** Written last: where it is, the run is finished. */
export const SIDECAR = 'graft.json';
export const RUN_FILE = 'run.yaml';
const STATE_FILE = 'trainer_state.json';

export interface OutputOptions {
  readonly run: RunConfig;
  readonly model: ShapedModel;
  /** How the model was asked in training. */
  readonly asked: AskedModel;
  /** The base model's folder. */
  readonly modelFiles: FileSource;
  readonly datasetName: string;
  readonly examples: number;
  /** Under PEFT's names, or the Hub's where every parameter was trained. */
  readonly tensors: readonly WeightTensor[];
  readonly trainerState: TrainerState;
  readonly summary: RunSummary;
  readonly datasetHash: string;
  readonly modelHash: string;
  readonly device: DeviceInfo;
}

/** The resolved run file, written before the first step so that the run can be resumed from its folder alone. */
export async function writeRunFile(store: RunStore, run: RunConfig): Promise<void> {
  await store.write(RUN_FILE, encodeUtf8(formatRunConfig(run)));
}

/**
 * Writes the chat template of a run whose base model has another one or none, with the tokenizer's files, and removes what
 * an earlier run has left there: what is in the folder is what is trained.
 */
export async function writeTemplateFiles(store: RunStore, base: FileSource, asked: AskedModel): Promise<void> {
  const files = await adapterTextFiles(base, asked);
  const holdsRun = (await store.read(RUN_FILE)) !== undefined;
  for (const name of ADAPTER_TEXT_FILES) {
    const file = files.find((written) => written.name === name);
    if (file) await store.write(name, file.bytes);
    else if (holdsRun) await store.remove(name);
  }
}

/** The chat template that the run in this folder has written there, as a folder; undefined where it has none. */
export async function writtenTemplate(store: RunStore): Promise<FileSource | undefined> {
  const isRun = (await store.read(RUN_FILE)) !== undefined;
  const template = isRun ? await store.read(TEMPLATE_FILE) : undefined;
  return template && memorySource(store.name, { [TEMPLATE_FILE]: template });
}

/** Writes everything that the run is for, each file whole or not at all, and `graft.json` last. */
export async function writeOutputs(store: RunStore, options: OutputOptions): Promise<void> {
  const trained = options.run.use_peft ? await adapterOutputs(options) : await modelOutputs(options);
  const files = [...trained, { name: STATE_FILE, bytes: json(options.trainerState) }];
  for (const { name, bytes } of files) await store.write(name, bytes);
  await writeRunFile(store, options.run);
  await store.write(SIDECAR, json(await sidecar(options, files)));
}

/** What a finished run has left of itself. */
export interface FinishedRun {
  readonly summary: RunSummary;
  /** As resolved; undefined where the folder lost it. */
  readonly run: RunConfig | undefined;
  readonly datasetHash: string;
  readonly modelHash: string;
  /** What it has left that isn't there any more. */
  readonly missing: readonly string[];
}

/** The summary of a finished run, or undefined where the folder holds none. */
export async function readFinished(store: RunStore): Promise<RunSummary | undefined> {
  return (await readFinishedRun(store))?.summary;
}

/** Undefined where the folder holds no finished run. */
export async function readFinishedRun(store: RunStore): Promise<FinishedRun | undefined> {
  const bytes = await store.read(SIDECAR);
  if (!bytes) return undefined;
  const written = parseRecord(SIDECAR_SCHEMA, decodeText(bytes));
  if (!written) {
    throw new GraftError(
      'bad-file',
      `${SIDECAR} in ${store.name} is damaged, so that what has finished there can't be told: delete it to go on from the ` +
        'last checkpoint, or start anew.',
    );
  }
  const run = await store.read(RUN_FILE);
  const present = await store.list();
  return {
    summary: written.summary,
    missing: Object.keys(written.files_sha256 ?? {}).filter((name) => !present.includes(name)),
    run: run && parseRunFile(run, `${RUN_FILE} in ${store.name}`),
    datasetHash: written.dataset_sha256,
    modelHash: written.model_sha256,
  };
}

/** What is read of `graft.json`. */
const SIDECAR_SCHEMA = v.object({
  summary: v.object({
    steps: WHOLE,
    epochs: FINITE,
    trainLoss: FINITE,
    bestEvalLoss: v.nullable(FINITE),
    stopped: v.picklist(['finished', 'early', 'cancelled']),
    seconds: FINITE,
  }),
  dataset_sha256: v.string(),
  model_sha256: v.string(),
  files_sha256: v.optional(v.record(v.string(), v.string())),
});

/** Takes back the mark of a finished run, before another one writes into its folder. */
export async function markUnfinished(store: RunStore): Promise<void> {
  await store.remove(SIDECAR);
}

async function adapterOutputs(options: OutputOptions): Promise<AdapterFile[]> {
  const { run, model, tensors } = options;
  const spec = adapterOf(run, model);
  if (!hasAdapter(spec)) return [];
  const adapter = adapterFiles({
    ...spec,
    baseModel: run.model_name_or_path,
    ...(isCommit(run.revision) && { revision: run.revision }),
    tensors,
    card: cardOf(options),
  });
  return [...adapter, ...(await adapterTextFiles(options.modelFiles, options.asked))];
}

async function modelOutputs(options: OutputOptions): Promise<AdapterFile[]> {
  const { tensors, modelFiles, asked } = options;
  return [
    { name: 'model.safetensors', bytes: writeSafetensors(tensors, { format: 'pt' }) },
    { name: 'README.md', bytes: utf8(modelCard(baseModelOf(options.run, modelFiles), {}, cardOf(options))) },
    ...(await modelFolderFiles(modelFiles, { asked, tied: isTied(tensors), dtype: 'float32' })),
  ];
}

/** What a card tells of the run. */
function cardOf({ run, modelFiles, datasetName, datasetHash, examples, summary }: OutputOptions): ModelCard {
  const facts = {
    'SHA-256 of the data': datasetHash,
    'Training examples': examples,
    Steps: summary.steps,
    Epochs: summary.epochs,
    'Mean training loss': Number(summary.trainLoss.toPrecision(6)),
    ...(summary.bestEvalLoss === null ? {} : { 'Best evaluation loss': Number(summary.bestEvalLoss.toPrecision(6)) }),
  };
  return { base: baseModelOf(run, modelFiles), dataset: datasetName, facts, runYaml: formatRunConfig(run) };
}

/** Graft's own record: what went in, what came out, by hash, and what it ran on. */
async function sidecar(options: OutputOptions, files: readonly AdapterFile[]): Promise<object> {
  const hashes: Record<string, string> = {};
  for (const { name, bytes } of files) hashes[name] = await sha256(bytes);
  const { vendor, architecture, description, software, features } = options.device;
  return {
    graft_version: VERSION,
    run_sha256: await sha256(encodeUtf8(formatRunConfig(options.run))),
    dataset_sha256: options.datasetHash,
    model_revision: isCommit(options.run.revision) ? options.run.revision : null,
    model_sha256: options.modelHash,
    files_sha256: hashes,
    device: { vendor, architecture, description, software, features },
    summary: options.summary,
  };
}

function json(value: object): Uint8Array<ArrayBuffer> {
  return utf8(`${JSON.stringify(value, null, 2)}\n`);
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encodeUtf8(text));
}
