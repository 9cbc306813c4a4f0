/** A model with an adapter merged into it, as exports write it: shapes and types first, weights as they come. */
import type { FloatDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { adapterParameters, EMBEDDING, HEAD, isUntiedBy, type DecoderSpec } from '../../core/spec';
import type { FileSource } from '../../core/store';
import { wholeTensors, type WeightTensor } from '../../core/weights';
import type { Engine } from '../../engine';
import type { HubModel } from '../../formats/model';
import { checkAdapter, readAdapter } from '../../formats/peft';
import { withTemplateOf } from '../../formats/saved-template';
import { watchWeights, type LoadingReport } from './loading';

export interface MergeSources {
  readonly model: HubModel;
  /** Absent, the model stays as it is, and no engine is needed. */
  readonly adapter?: FileSource | undefined;
  readonly engine?: Engine | undefined;
}

export interface MergedModel {
  /** The base, asked through the template that was trained. */
  readonly asked: HubModel;
  readonly spec: DecoderSpec;
  /** The dtype of each parameter, in the order in which they come. */
  readonly dtypes: ReadonlyMap<string, FloatDType>;
  /** Every parameter, whole; each call reads anew. End what isn't read to its end by `return`. */
  weights(report: LoadingReport, signal?: AbortSignal): AsyncGenerator<WeightTensor>;
  /** Those of these names alone, and a head that was tied with its embedding. */
  weightsOf(names: ReadonlySet<string>, signal?: AbortSignal): AsyncGenerator<WeightTensor>;
}

/** @throws `bad-file` where the adapter doesn't fit the model, `bad-config` where it targets nothing of it, `unsupported` for a prompt */
export async function openMerged({ model, adapter: folder, engine }: MergeSources): Promise<MergedModel> {
  if (!folder) {
    const { spec, dtypes } = model;
    return {
      asked: model,
      spec,
      dtypes,
      weights: (...args) => wholeTensors(watchWeights(model, ...args)),
      weightsOf: (names, signal) => wholeTensors(model.weights({ names, signal })),
    };
  }
  if (!engine) throw new Error('merging takes an engine');
  const asked = await withTemplateOf(model, folder);
  const adapter = await readAdapter(folder);
  checkAdapter(folder.name, adapter, model.spec);
  const { lora } = adapter;
  if (!lora) {
    throw new GraftError(
      'unsupported',
      `${folder.name} is a prompt: its virtual tokens stand before every prompt and change no weight, so that there ` +
        'is nothing to merge. Use it as the adapter that it is.',
    );
  }
  if (adapterParameters(model.spec, lora).length === 0) {
    throw new GraftError('bad-config', `${folder.name} targets no linear of ${model.name}: there is nothing to merge.`);
  }
  const { spec, dtypes } = isUntiedBy(model.spec, lora) ? withOwnHead(model) : model;
  return {
    asked,
    spec,
    dtypes,
    async *weights(report, signal) {
      yield* engine.mergeAdapter(model.spec, lora, adapter.tensors, watchWeights(model, report, signal));
    },
    async *weightsOf(names, signal) {
      yield* engine.mergeAdapter(model.spec, lora, adapter.tensors, model.weights({ names, signal }));
    },
  };
}

/** A model whose head was tied, with one of its own that comes after the embedding and is stored alike. */
function withOwnHead({ spec, dtypes }: HubModel): Pick<HubModel, 'spec' | 'dtypes'> {
  const entries = [...dtypes].flatMap(([name, dtype]) => {
    const names = name === EMBEDDING ? [EMBEDDING, HEAD] : [name];
    return names.map((own) => [own, dtype] as const);
  });
  return { spec: { ...spec, tieWordEmbeddings: false }, dtypes: new Map(entries) };
}
