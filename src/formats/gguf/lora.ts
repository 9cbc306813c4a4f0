/** LoRA adapters as GGUF, as llama.cpp applies them (`--lora`), and Ollama by its ADAPTER. */
import { GraftError } from '../../core/errors';
import {
  loraAt,
  loraScaling,
  parameters,
  savedParameters,
  targetedLinears,
  tokenRows,
  type DecoderSpec,
  type LoraSpec,
} from '../../core/spec';
import type { FloatDType } from '../../core/dtypes';
import type { Adapter } from '../peft';
import { describeSpec } from './describe';
import { ggufName } from './names';
import { storedPieces, type Storage } from './store-tensor';
import { changesOf } from './tensors';
import { ggmlType, storedBytes } from './types';
import { ggufHead, paddingAfter, type GgufValue } from './write';

/** What the tensors of an adapter are stored as. */
export const LORA_TYPES = ['F32', 'F16', 'BF16'] as const;
export type LoraType = (typeof LORA_TYPES)[number];

/** A tensor of the file, with the bytes that it is made from. */
interface PlannedTensor extends Storage {
  readonly bytes: Uint8Array;
  readonly dtype: FloatDType;
}

export interface LoraPlan {
  /** Bytes of the file. */
  readonly size: number;
  readonly head: Uint8Array;
  readonly tensors: readonly PlannedTensor[];
}

export interface LoraRequest {
  /** What messages call the adapter. */
  readonly name: string;
  readonly adapter: Adapter;
  /** Of the base model. */
  readonly spec: DecoderSpec;
  readonly modelName: string;
  readonly type: LoraType;
}

/**
 * The file of an adapter. llama.cpp scales each product by one alpha over its own rank: that is set to what the first
 * linear is scaled by, and where others have a scaling of their own, the difference goes into their B.
 * @throws `unsupported` for prompts, and for DoRA, modules trained whole and trained tokens, which only a merged file holds
 */
export function planLora({ name, adapter, spec, modelName, type }: LoraRequest): LoraPlan {
  const lora = loraAlone(name, adapter, spec);
  const { architecture, queryFactor } = describeSpec(spec, modelName, parameters(spec));
  const bytes = new Map(adapter.tensors.map((tensor) => [tensor.name, tensor]));
  const linears = targetedLinears(spec, lora);
  const alphas = linears.map((linear) => {
    const own = loraAt(lora, linear.name);
    return loraScaling(own) * own.r;
  });
  const alpha = Math.fround(alphas[0] ?? 0);
  const tensors = linears.flatMap((linear, i): PlannedTensor[] => {
    const own = `${linear.name}.weight`;
    const part = (kind: 'A' | 'B') => bytes.get(`base_model.model.${linear.name}.lora_${kind}.weight`)!;
    const factor =
      (alphas[i]! === alphas[0] ? 1 : alphas[i]! / alpha) * (/\.q_proj$/.test(linear.name) ? queryFactor : 1);
    const stored = { name: ggufName(own, architecture), type: ggmlType(type) };
    const [a, b] = [part('A'), part('B')];
    return [
      { ...a, ...stored, name: `${stored.name}.lora_a`, factor: 1, shift: 0, interleavedHeads: undefined },
      { ...b, ...stored, name: `${stored.name}.lora_b`, factor, ...changesOf(own, architecture) },
    ];
  });
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { kind: 'string', value: architecture.name }],
    ['general.type', { kind: 'string', value: 'adapter' }],
    ['general.name', { kind: 'string', value: name.split('/').at(-1) ?? name }],
    ['adapter.type', { kind: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { kind: 'f32', value: alpha }],
  ]);
  return { ...ggufHead(metadata, tensors), tensors };
}

/** What an adapter is, where it is nothing but products of two matrices. */
function loraAlone(name: string, { lora }: Adapter, spec: DecoderSpec): LoraSpec {
  if (!lora) {
    throw new GraftError(
      'unsupported',
      `${name} is a prompt: its virtual tokens stand before every prompt, which no GGUF has a place for.`,
    );
  }
  const what = lora.useDora
    ? 'DoRA, which scales whole rows of the model'
    : savedParameters(spec, lora).size > 0
      ? `modules trained whole (${lora.modulesToSave?.join(', ')})`
      : tokenRows(spec, lora).size > 0
        ? 'rows of trained tokens'
        : undefined;
  if (what === undefined) return lora;
  throw new GraftError(
    'unsupported',
    `${name} can't be written as a LoRA GGUF: it has ${what}. Export it merged, with --format gguf, which holds all of it.`,
  );
}

/** The file's bytes, in pieces. */
export async function* loraPieces({ head, tensors }: LoraPlan): AsyncGenerator<Uint8Array> {
  yield head;
  for (const tensor of tensors) {
    yield* storedPieces(tensor, tensor.bytes, tensor.dtype);
    yield paddingAfter(storedBytes(tensor.type, tensor.shape));
  }
}
