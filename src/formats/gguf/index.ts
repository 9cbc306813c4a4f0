/**
 * A GGUF file, or several of one model, seen as a model folder in the Hub's layout. config.json, the tokenizer's files and the head of
 * model.safetensors are made from its metadata; the tensors' bytes are made as they are read, range by range.
 */
import { elementCount, toFloat32 } from '../../core/dtypes';
import { errorCode, GraftError } from '../../core/errors';
import { encodeUtf8, type FileSource } from '../../core/store';
import { MadeFile } from '../safetensors';
import type { RopeTable, RopeTables } from './architectures';
import { configOf } from './config';
import type { GgufHeader } from './header';
import { firstOfEach, partsOf, readGguf } from './split';
import { hubTensors, readHubBytes, type HubTensor } from './tensors';
import { tokenizerOf } from './tokenizer';
import { EXPANDED_DTYPES, expand } from './types';

export { readGgufHeader } from './header';
export { FILE_TYPES, type FileType } from './mix';
export { LORA_TYPES, loraPieces, planLora, type LoraType } from './lora';
export { ggufPieces, planGguf } from './plan';
export { readLora } from './read-lora';
export { tokenizerOf } from './tokenizer';

const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/**
 * The folder itself, or, where a single .gguf model has its weights, that seen as a folder, with what lies beside it
 * in place of what would be made from its metadata.
 */
export async function hubLayout(source: FileSource): Promise<FileSource> {
  if ((await source.size(WEIGHTS)) !== undefined || (await source.size(INDEX)) !== undefined) return source;
  const files = firstOfEach(await ggufFiles(source));
  if (files.length === 0) return source;
  if (files.length > 1) {
    throw new GraftError(
      'not-found',
      `${source.name} holds several models (${files.slice(0, 4).join(', ')}): name the file.`,
    );
  }
  return openGguf(source, files[0]!);
}

/** The .gguf files of a folder; of one that can't list its files, none. */
async function ggufFiles(source: FileSource): Promise<string[]> {
  const files = await source.list().catch((error: unknown) => {
    if (errorCode(error) === 'unsupported') return [];
    throw error;
  });
  return files.filter((file) => file.toLowerCase().endsWith('.gguf')).sort();
}

/**
 * One GGUF model of a folder, by any of its files, as a folder of its own. Other files of the folder count only where it is
 * the only .gguf model.
 * @throws `not-found`, `bad-file`, `bad-config`, `unsupported`.
 */
export async function openGguf(source: FileSource, file: string): Promise<FileSource> {
  const header = await readGguf(source, file);
  const { config, architecture } = configOf(header, await ropeTables(source, header));
  const tensors = hubTensors(header, architecture);
  const beside = firstOfEach(await ggufFiles(source)).length === 1 ? source : undefined;
  const own = new Map(Object.entries({ 'config.json': json(config), ...(await textFiles(header, beside)) }));
  return new GgufFolder(source, partsOf(file), tensors, own, beside);
}

/** The tokenizer's files, unless a tokenizer.json lies beside the model. */
async function textFiles(header: GgufHeader, beside: FileSource | undefined): Promise<Record<string, Uint8Array>> {
  if ((await beside?.size('tokenizer.json')) !== undefined) return {};
  const text = tokenizerOf(header.metadata);
  if (!text) return {};
  return {
    'tokenizer.json': json(text.tokenizer),
    'tokenizer_config.json': json(text.config),
    'generation_config.json': json(text.generation),
  };
}

/** What each tensor of a GGUF model is stored as, by its Hub name. */
export async function storedTypes(source: FileSource, file: string): Promise<ReadonlyMap<string, string>> {
  const header = await readGguf(source, file);
  const { architecture } = configOf(header, await ropeTables(source, header));
  return new Map(hubTensors(header, architecture).map(({ name, stored }) => [name, stored.type.name]));
}

async function ropeTables(source: FileSource, { tensors }: GgufHeader): Promise<RopeTables> {
  const tables = new Map<RopeTable, number[]>();
  for (const name of ['rope_freqs', 'rope_factors_long', 'rope_factors_short'] as const) {
    const tensor = tensors.find((found) => found.name === `${name}.weight`);
    if (tensor?.type.name !== 'F32' || elementCount(tensor.shape) > MOST_FREQUENCIES) continue;
    const bytes = await source.read(tensor.file, tensor.start, tensor.end);
    tables.set(name, [...toFloat32(expand(tensor.type, bytes), 'f32')]);
  }
  return tables;
}

/** Pairs of dimensions of a head. */
const MOST_FREQUENCIES = 4096;

function json(value: object): Uint8Array {
  return encodeUtf8(JSON.stringify(value));
}

class GgufFolder implements FileSource {
  readonly name: string;
  readonly commit?: string;
  private readonly weights: MadeFile;

  constructor(
    source: FileSource,
    private readonly files: readonly string[],
    tensors: readonly HubTensor[],
    private readonly own: ReadonlyMap<string, Uint8Array>,
    private readonly beside: FileSource | undefined,
  ) {
    this.name = `${source.name}/${files[0]}`;
    if (source.commit !== undefined) this.commit = source.commit;
    this.weights = new MadeFile(
      tensors.map((tensor) => ({
        name: tensor.name,
        dtype: EXPANDED_DTYPES[tensor.dtype],
        shape: tensor.shape,
        read: (start, end) => readHubBytes(source, tensor, start, end),
      })),
    );
  }

  async list(): Promise<string[]> {
    const others = this.beside ? await this.beside.list() : [];
    return [...new Set([WEIGHTS, ...this.own.keys(), ...others.filter((file) => !this.files.includes(file))])];
  }

  async size(file: string): Promise<number | undefined> {
    if (file === WEIGHTS) return this.weights.size;
    return (await this.beside?.size(file)) ?? this.own.get(file)?.byteLength;
  }

  async read(file: string, start = 0, end?: number): Promise<Uint8Array> {
    if (file === WEIGHTS) return this.weights.read(start, end);
    if (this.beside && (await this.beside.size(file)) !== undefined) return this.beside.read(file, start, end);
    const bytes = this.own.get(file);
    if (!bytes) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
    return bytes.subarray(start, end);
  }
}
