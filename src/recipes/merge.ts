/** Merging an adapter into its base model: a model folder that loads anywhere, without PEFT. */
import { GraftError, throwIfCancelled } from '../core/errors';
import { adapterParameters, parameters } from '../core/spec';
import { BYTES_PER_ELEMENT, elementCount } from '../core/dtypes';
import { encodeUtf8, type FileSource, type RunStore } from '../core/store';
import type { WeightTensor } from '../core/weights';
import type { Engine } from '../engine';
import type { HubModel } from '../formats/model';
import { checkAdapter, readAdapter } from '../formats/peft';
import { writeSafetensors } from '../formats/safetensors';
import { withTemplateOf } from '../formats/saved-template';
import { watchWeights, type LoadingReport } from './steps/loading';
import { modelFolderFiles, NOT_ASKED } from './steps/model-folder';

/** Weights past this many bytes are split over several files; readers hold one file's header and tensors at a time. */
const SHARD_BYTES = 2 ** 31;

export interface MergeInput {
  readonly model: HubModel;
  readonly modelFiles: FileSource;
  readonly adapter: FileSource;
  readonly engine: Engine;
  readonly store: RunStore;
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
  if (adapterParameters(model.spec, adapter.lora).length === 0) {
    throw new GraftError(
      'bad-config',
      `${input.adapter.name} targets no linear of ${model.name}: there is nothing to merge.`,
    );
  }
  const shards = new Shards(model);
  const weights = watchWeights(model, report, signal);
  const written: string[] = [];
  const write = async (name: string, bytes: Uint8Array) => {
    await store.write(name, bytes);
    written.push(name);
  };
  for await (const tensor of engine.mergeAdapter(model.spec, adapter.lora, adapter.tensors, weights)) {
    throwIfCancelled(signal);
    const complete = shards.add(tensor);
    if (complete) await write(complete.name, writeSafetensors(complete.tensors, { format: 'pt' }));
  }
  if (shards.count > 1) await write('model.safetensors.index.json', encodeUtf8(shards.index()));
  // Whether the fallback was trained is not known of an adapter that brings no template.
  const asked = model.template?.source === 'alpaca' ? NOT_ASKED : model;
  const tied = model.spec.tieWordEmbeddings;
  for (const { name, bytes } of await modelFolderFiles(modelFiles, { asked, tied })) await write(name, bytes);
  return written;
}

/** Which file each tensor goes into, fixed before the first arrives, under the names that Transformers gives. */
class Shards {
  private readonly fileOf = new Map<string, number>();
  private readonly waiting: { missing: number; tensors: WeightTensor[] }[] = [{ missing: 0, tensors: [] }];
  private readonly totalBytes: number;

  constructor(model: HubModel) {
    let bytes = 0;
    let total = 0;
    for (const { name, shape } of parameters(model.spec)) {
      const size = elementCount(shape) * BYTES_PER_ELEMENT[model.weightDType];
      if (bytes > 0 && bytes + size > SHARD_BYTES) {
        this.waiting.push({ missing: 0, tensors: [] });
        bytes = 0;
      }
      bytes += size;
      total += size;
      this.fileOf.set(name, this.waiting.length - 1);
      this.waiting.at(-1)!.missing++;
    }
    this.totalBytes = total;
  }

  get count(): number {
    return this.waiting.length;
  }

  /** The file that this tensor completes. */
  add(tensor: WeightTensor): { name: string; tensors: WeightTensor[] } | undefined {
    const i = this.fileOf.get(tensor.name)!;
    const shard = this.waiting[i]!;
    shard.tensors.push(tensor);
    if (--shard.missing > 0) return undefined;
    const { tensors } = shard;
    shard.tensors = [];
    return { name: this.fileName(i), tensors };
  }

  index(): string {
    const map = Object.fromEntries([...this.fileOf].map(([name, i]) => [name, this.fileName(i)]));
    return `${JSON.stringify({ metadata: { total_size: this.totalBytes }, weight_map: map }, null, 2)}\n`;
  }

  private fileName(i: number): string {
    const padded = (n: number) => String(n).padStart(5, '0');
    return this.count === 1 ? 'model.safetensors' : `model-${padded(i + 1)}-of-${padded(this.count)}.safetensors`;
  }
}
