/**
 * A GGUF file, or several of one model, seen as a model folder in the Hub's layout. config.json, the tokenizer's files and the head of
 * model.safetensors are made from its metadata; the tensors' bytes are made as they are read, range by range.
 */
import { elementCount, toFloat32 } from '../../core/dtypes';
import { errorCode, GraftError } from '../../core/errors';
import { encodeUtf8, type FileSource } from '../../core/store';
import type { RopeTable, RopeTables } from './architectures';
import { configOf } from './config';
import type { GgufHeader } from './header';
import { firstOfEach, partsOf, readGguf } from './split';
import { elementBytes, hubTensors, readHubBytes, type HubTensor } from './tensors';
import { tokenizerOf } from './tokenizer';
import { expand } from './types';

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

interface Placed {
  readonly tensor: HubTensor;
  /** Bytes of the safetensors file that is shown. */
  readonly start: number;
  readonly end: number;
}

class GgufFolder implements FileSource {
  readonly name: string;
  readonly commit?: string;
  private readonly head: Uint8Array;
  private readonly placed: readonly Placed[];
  private readonly weightBytes: number;

  constructor(
    private readonly source: FileSource,
    private readonly files: readonly string[],
    tensors: readonly HubTensor[],
    private readonly own: ReadonlyMap<string, Uint8Array>,
    private readonly beside: FileSource | undefined,
  ) {
    this.name = `${source.name}/${files[0]}`;
    if (source.commit !== undefined) this.commit = source.commit;
    let at = 0;
    const offsets = tensors.map((tensor) => ({
      tensor,
      start: at,
      end: (at += elementCount(tensor.shape) * elementBytes(tensor)),
    }));
    this.head = safetensorsHead(offsets);
    this.placed = offsets.map(({ tensor, start, end }) => ({
      tensor,
      start: this.head.byteLength + start,
      end: this.head.byteLength + end,
    }));
    this.weightBytes = this.head.byteLength + at;
  }

  async list(): Promise<string[]> {
    const others = this.beside ? await this.beside.list() : [];
    return [...new Set([WEIGHTS, ...this.own.keys(), ...others.filter((file) => !this.files.includes(file))])];
  }

  async size(file: string): Promise<number | undefined> {
    if (file === WEIGHTS) return this.weightBytes;
    return (await this.beside?.size(file)) ?? this.own.get(file)?.byteLength;
  }

  async read(file: string, start = 0, end?: number): Promise<Uint8Array> {
    if (file === WEIGHTS) return this.readWeights(start, Math.min(end ?? this.weightBytes, this.weightBytes));
    if (this.beside && (await this.beside.size(file)) !== undefined) return this.beside.read(file, start, end);
    const bytes = this.own.get(file);
    if (!bytes) throw new GraftError('not-found', `${this.name} has no file ${file}.`);
    return bytes.subarray(start, end);
  }

  private async readWeights(start: number, end: number): Promise<Uint8Array> {
    const result = new Uint8Array(Math.max(0, end - start));
    result.set(this.head.subarray(start, end));
    for (const { tensor, start: from, end: to } of this.placed) {
      const [first, last] = [Math.max(start, from), Math.min(end, to)];
      if (first >= last) continue;
      const bytes = await readHubBytes(this.source, tensor, first - from, last - from);
      if (first === start && last === end) return bytes;
      result.set(bytes, first - start);
    }
    return result;
  }
}

function safetensorsHead(offsets: readonly Placed[]): Uint8Array {
  const fields = offsets.map(({ tensor: { name, dtype, shape }, start, end }) => [
    name,
    { dtype, shape, data_offsets: [start, end] },
  ]);
  const text = encodeUtf8(JSON.stringify(Object.fromEntries(fields)));
  const head = new Uint8Array(8 + text.byteLength);
  new DataView(head.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  head.set(text, 8);
  return head;
}
