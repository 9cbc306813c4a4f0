/** Merging an adapter into its base model: a model folder that loads anywhere, without PEFT. */
import { GraftError, throwIfCancelled } from '../core/errors';
import { adapterParameters, EMBEDDING, HEAD, isUntiedBy } from '../core/spec';
import { encodeUtf8, writePieces, type FileSource, type RunStore } from '../core/store';
import type { Engine } from '../engine';
import type { HubModel } from '../formats/model';
import { checkAdapter, readAdapter } from '../formats/peft';
import { withTemplateOf } from '../formats/saved-template';
import { watchWeights, type LoadingReport } from './steps/loading';
import { modelFolderFiles, NOT_ASKED } from './steps/model-folder';
import { indexOf, piecesOf, planWeightFiles } from './steps/weight-files';

export interface MergeInput {
  readonly model: HubModel;
  readonly modelFiles: FileSource;
  readonly adapter: FileSource;
  readonly engine: Engine;
  readonly store: RunStore;
  /** Most bytes of a weight file that holds more than one tensor; smaller in tests. */
  readonly shardBytes?: number;
}

/**
 * Writes the base model's folder with the adapter merged into its weights, in the dtypes that they were stored in.
 * @returns the names of the files written
 * @throws `bad-file` where the adapter doesn't fit the model, `out-of-memory`, `storage`, `cancelled`
 */
export async function mergeModel(input: MergeInput, report: LoadingReport, signal?: AbortSignal): Promise<string[]> {
  const { modelFiles, engine, store } = input;
  const model = await withTemplateOf(input.model, input.adapter);
  const adapter = await readAdapter(input.adapter);
  checkAdapter(input.adapter.name, adapter, model.spec);
  const { lora } = adapter;
  if (!lora) {
    throw new GraftError(
      'unsupported',
      `${input.adapter.name} is a prompt: its virtual tokens stand before every prompt and change no weight, so that there ` +
        'is nothing to merge. Use it as the adapter that it is.',
    );
  }
  if (adapterParameters(model.spec, lora).length === 0) {
    throw new GraftError(
      'bad-config',
      `${input.adapter.name} targets no linear of ${model.name}: there is nothing to merge.`,
    );
  }
  const untied = isUntiedBy(model.spec, lora);
  const files = planWeightFiles(untied ? withOwnHead(model) : model, input.shardBytes);
  const weights = watchWeights(model, report, signal);
  const written: string[] = [];
  const write = async (name: string, bytes: Uint8Array) => {
    await store.write(name, bytes);
    written.push(name);
  };
  const merged = engine.mergeAdapter(model.spec, lora, adapter.tensors, weights)[Symbol.asyncIterator]();
  try {
    for (const file of files) {
      throwIfCancelled(signal);
      await writePieces(store, file.name, file.size, piecesOf(file, merged));
      written.push(file.name);
    }
  } finally {
    await merged.return?.();
  }
  if (files.length > 1) await write('model.safetensors.index.json', encodeUtf8(indexOf(files)));
  // Whether the fallback was trained is not known of an adapter that brings no template.
  const asked = model.template?.source === 'alpaca' ? NOT_ASKED : model;
  const tied = model.spec.tieWordEmbeddings && !untied;
  for (const { name, bytes } of await modelFolderFiles(modelFiles, { asked, tied })) await write(name, bytes);
  return written;
}

/** A model whose head was tied, with one of its own that comes after the embedding and is stored alike. */
function withOwnHead({ spec, dtypes }: HubModel): Pick<HubModel, 'spec' | 'dtypes'> {
  const entries = [...dtypes].flatMap(([name, dtype]) => {
    const names = name === EMBEDDING ? [EMBEDDING, HEAD] : [name];
    return names.map((own) => [own, dtype] as const);
  });
  return { spec: { ...spec, tieWordEmbeddings: false }, dtypes: new Map(entries) };
}
