/** A model as a GGUF file, planned before its first weight arrives: the head, and how each tensor will be stored. */
import { parameters, type DecoderSpec } from '../../core/spec';
import type { FileSource } from '../../core/store';
import type { WeightTensor } from '../../core/weights';
import type { AskedModel } from '../asked-model';
import { describeSpec } from './describe';
import { describeTokenizer } from './describe-tokenizer';
import { FILE_TYPES, typeOf, type FileType } from './mix';
import { ggufName } from './names';
import { storedPieces, type Storage } from './store-tensor';
import { changesOf } from './tensors';
import { stripsSpaces } from './tokenizer';
import { ggmlType, store, storedBytes } from './types';
import { ggufHead, paddingAfter, type GgufMetadata, type GgufValue } from './write';

/** Of the layout of quantised blocks. */
const QUANTIZATION_VERSION = 2;

export interface GgufPlan {
  /** Bytes of the file. */
  readonly size: number;
  readonly head: Uint8Array;
  /** Tables of the rotary embedding, which come before the parameters. */
  readonly tables: readonly Uint8Array[];
  /** By Hub name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, Storage>;
  /** What is otherwise in llama.cpp, a sentence each. */
  readonly notices: readonly string[];
}

export interface GgufRequest {
  /** What messages call the model. */
  readonly name: string;
  readonly spec: DecoderSpec;
  /** Hub names in the order in which weights will come. */
  readonly order: readonly string[];
  readonly type: FileType;
  /** The model's folder in the Hub's layout, for its tokenizer. */
  readonly source: FileSource;
  /** With the template that the file is to have. */
  readonly asked: AskedModel;
  /** Whether programs put BOS before every prompt; by default as the tokenizer does before texts. */
  readonly addsBos?: boolean | undefined;
}

/** @throws `unsupported` for what llama.cpp has no way to say */
export async function planGguf({ name, spec, order, type, source, asked, addsBos }: GgufRequest): Promise<GgufPlan> {
  const all = parameters(spec);
  const described = describeSpec(spec, name, all);
  const text = await describeTokenizer(source, asked, spec.vocabSize, addsBos);
  const metadata = merged(
    generalMetadata(nameInFile(name, text.stripsSpaces), type),
    described.metadata,
    text.metadata,
  );
  const tables = [...described.tables].map(([table, values]) => ({
    name: `${table}.weight`,
    type: ggmlType('F32'),
    shape: [values.length],
    values: Float32Array.from(values),
  }));
  const shapes = new Map(all.map((parameter) => [parameter.name, parameter.shape]));
  const tensors = new Map(
    order.map((hub): [string, Storage] => {
      const shape = shapes.get(hub)!;
      const own = ggufName(hub, described.architecture);
      const factor = scalesQueries(hub) ? described.queryFactor : 1;
      return [
        hub,
        {
          name: own,
          type: typeOf(type, own, shape, spec),
          shape,
          factor,
          ...changesOf(hub, described.architecture),
        },
      ];
    }),
  );
  const { head, size } = ggufHead(metadata, [...tables, ...tensors.values()]);
  return {
    size,
    head,
    tables: tables.map(({ values }) => store(ggmlType('F32'), values)),
    tensors,
    notices: [...described.notices, ...text.notices],
  };
}

/** What a factor of all scores is put into. */
function scalesQueries(name: string): boolean {
  return /\.q_proj\.(weight|bias)$/.test(name);
}

/** The last part of the model's name, with that of its family where llama.cpp goes by it, and without where it would be wrong. */
function nameInFile(name: string, strips: boolean): string {
  const own = name.split('/').at(-1) ?? name;
  if (strips === stripsSpaces(own)) return own;
  return strips ? `phi-3 ${own}` : own.replace(/phi-?3/gi, 'phi 3');
}

function generalMetadata(name: string, type: FileType): GgufMetadata {
  return new Map<string, GgufValue>([
    ['general.type', { kind: 'string', value: 'model' }],
    ['general.name', { kind: 'string', value: name }],
    ['general.file_type', { kind: 'u32', value: FILE_TYPES[type] }],
    ['general.quantization_version', { kind: 'u32', value: QUANTIZATION_VERSION }],
  ]);
}

/** The architecture comes first, as readers look for it there. */
function merged(general: GgufMetadata, model: GgufMetadata, text: GgufMetadata): GgufMetadata {
  const [first, ...others] = model;
  return new Map([first!, ...general, ...others, ...text]);
}

/**
 * The file's bytes, in pieces, as its weights come.
 * @param weights whole, in the order that was planned
 */
export async function* ggufPieces(plan: GgufPlan, weights: AsyncIterator<WeightTensor>): AsyncGenerator<Uint8Array> {
  yield plan.head;
  for (const table of plan.tables) {
    yield table;
    yield paddingAfter(table.byteLength);
  }
  for (const [name, storage] of plan.tensors) {
    const next = await weights.next();
    if (next.done === true) throw new Error(`the weights end before ${name}`);
    if (next.value.name !== name) throw new Error(`${next.value.name} comes in the place of ${name}`);
    yield* storedPieces(storage, next.value.bytes, next.value.dtype);
    yield paddingAfter(storedBytes(storage.type, storage.shape));
  }
}
