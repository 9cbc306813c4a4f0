/** What the page refers to, as the folders and bytes that recipes take. */
import { GraftError } from '../../src/core/errors';
import type { StoredModel } from '../../src/core/library';
import type { FileSource } from '../../src/core/store';
import { hubLayout } from '../../src/formats/gguf';
import { httpSource } from '../../src/formats/sources';
import { fileListSource } from '../../src/storage/files';
import type { KeptModels } from '../../src/storage/indexeddb';
import type { DatasetFile, DatasetHead } from '../../src/recipes';
import type { DatasetRef, ReadRequest } from '../../src/protocol/data';
import type { FilesRef, ModelRef } from '../../src/protocol/models';
import type { HubModels } from '../hub/hub-models';

export class Sources {
  constructor(
    /** Base URL of the page. */
    private readonly baseUrl: string,
    private readonly kept: KeptModels,
    private readonly hub: HubModels,
  ) {}

  async model(ref: ModelRef): Promise<FileSource> {
    // A GGUF file is a folder in the Hub's layout to everyone from here on.
    if (ref.kind === 'hub') return hubLayout(await this.hub.source(ref));
    if (ref.kind === 'kept') return hubLayout(await this.kept.source(ref.id));
    if (ref.kind === 'files') return hubLayout(fileListSource(ref.name, ref.files));
    const url = new URL(`models/${encodeURIComponent(ref.name)}/`, this.baseUrl).href;
    const source = httpSource(url, { name: ref.name });
    // Opening asks for one after another; all of them are on their way by then.
    for (const file of OPENED_FILES) void source.size(file).catch(() => undefined);
    return source;
  }

  /** How to open the model of a past run. @throws `not-found` where only the user can. */
  refOf(stored: StoredModel): ModelRef {
    if (stored.kind !== 'folder') return stored;
    throw new GraftError(
      'not-found',
      `The model ${stored.name} is a folder of this computer: open it under Models, then resume.`,
    );
  }

  /** Copies an opened folder into the browser and returns how to ask for the copy. */
  async keep(
    ref: FilesRef,
    onProgress: (loaded: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<ModelRef> {
    const source = fileListSource(ref.name, ref.files);
    const files = (await source.list()).filter((file) => MODEL_FILE.test(file));
    const dated = ref.files.map(({ name, size, lastModified }) => [name, size, lastModified]).sort();
    const { id, name } = await this.kept.keep(source, files, JSON.stringify([ref.name, dated]), onProgress, signal);
    return { kind: 'kept', id, name };
  }

  async dataset(ref: DatasetRef): Promise<DatasetFile> {
    const bytes =
      ref.content === 'builtin' ? await this.builtinDataset(ref.name) : await readBlob(ref.name, ref.content);
    return { name: ref.content === 'builtin' ? `${ref.name}.jsonl` : ref.name, bytes };
  }

  /** The beginning of a dataset with the size of all of it; undefined for a built-in one, which is small. */
  async datasetHead(ref: DatasetRef, bytes: number): Promise<DatasetHead | undefined> {
    if (ref.content === 'builtin') return undefined;
    const { name, content } = ref;
    return { name, bytes: await readBlob(name, content.slice(0, bytes)), totalBytes: content.size };
  }

  private builtinDataset(name: string): Promise<Uint8Array> {
    const url = new URL('datasets/', this.baseUrl).href;
    return httpSource(url, { name: 'the built-in datasets' }).read(`${encodeURIComponent(name)}.jsonl`);
  }
}

/** What is read of a model folder when it is opened. */
const OPENED_FILES = [
  'config.json',
  'model.safetensors',
  'tokenizer.json',
  'tokenizer_config.json',
  'generation_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];

/** What a model folder in the Hub's layout needs, and GGUF; copies leave out the weights in other formats beside it. */
const MODEL_FILE = /\.(json|safetensors|jinja|model|txt|gguf)$/i;

/** Tells one model from another; refs to the same files share it. */
export function modelKey(ref: ModelRef): string {
  if (ref.kind === 'hub') return `hub/${ref.name}@${ref.commit ?? ref.revision}@${ref.endpoint ?? ''}`;
  return ref.kind === 'builtin' ? `builtin/${ref.name}` : `${ref.kind}/${ref.id}`;
}

/** Tells one dataset from another. */
export function datasetId(dataset: ReadRequest['dataset']): string {
  return 'runId' in dataset ? `run/${dataset.runId}` : dataset.id;
}

export function storedModel(ref: ModelRef): StoredModel {
  return ref.kind === 'files' ? { kind: 'folder', name: ref.name } : ref;
}

async function readBlob(name: string, blob: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (cause) {
    throw new GraftError('storage', `${name} can't be read any more: it was changed or moved. Choose it again.`, {
      cause,
    });
  }
}
