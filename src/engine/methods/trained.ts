/** What is trained, as a predicate over named parameters, and the leaves that it comes to. */
import { PROMPT_EMBEDDINGS, type AdapterSpec } from '../../core/adapter';
import { parameters, type DecoderSpec, type ParameterSpec } from '../../core/spec';
import type { FlatParameter } from '../compile/groups';
import { methodParts, storedParts, type StorageOptions } from '../model/weights';
import { methodOf } from '.';
import type { Method } from './method';

/** Whether a parameter is trained: of the model by its Hub name, of an adapter by PEFT's. */
export type Trains = (parameter: string) => boolean;

export const TRAINS_NOTHING: Trains = () => false;

/** Every tensor that the method adds, and of the model what `base` says, or all where the method trains that. */
export function trainsFor({ trainsModel }: Pick<Method, 'trainsModel'>, base?: Trains): Trains {
  const ofModel = base ?? (() => trainsModel);
  return (parameter) => isOfAdapter(parameter) || ofModel(parameter);
}

interface TrainedModel extends AdapterSpec {
  readonly spec: DecoderSpec;
  readonly trains: Trains;
}

/** Every trained parameter, those of the adapter first, each in the order of the forward pass. */
export function trainedParameters(model: TrainedModel): ParameterSpec[] {
  const all = [...methodOf(model).parameters, ...parameters(model.spec)];
  return all.filter(({ name }) => model.trains(name));
}

/** The same as they are laid out: tables in parts, and each with what the optimiser has to know of it. */
export function trainedLeaves(model: TrainedModel & StorageOptions): FlatParameter[] {
  const parts = storedParts(model);
  return [
    ...methodLeaves(model, model.trains),
    ...parameters(model.spec)
      .filter(({ name }) => model.trains(name))
      .flatMap(({ name }) => laidOut(name, parts.get(name)!, 'weights')),
  ];
}

/** The tensors that the method adds, or some of them, as they are laid out. */
export function methodLeaves(
  model: Pick<TrainedModel, 'spec' | keyof AdapterSpec> & Pick<StorageOptions, 'partBytes'>,
  includes: Trains = () => true,
): FlatParameter[] {
  return methodOf(model)
    .parameters.filter(({ name }) => includes(name))
    .flatMap((parameter) => laidOut(parameter.name, methodParts(parameter, model.partBytes), 'adapter'));
}

function laidOut(name: string, parts: readonly ParameterSpec[], kind: FlatParameter['kind']): FlatParameter[] {
  return parts.map((part) => ({ ...part, kind, decays: decaysInTransformers(name) }));
}

/** Transformers decays every matrix; norms and biases, its vectors, keep their size. */
function decaysInTransformers(name: string): boolean {
  return !/(norm\.weight|\.bias)$/.test(name);
}

/** PEFT's names begin with how it wraps a model, where a tensor is of one of its modules. */
function isOfAdapter(parameter: string): boolean {
  return parameter.startsWith('base_model.model.') || parameter === PROMPT_EMBEDDINGS;
}
