/** All that follows from what a session is asked for: programs, buffers, bytes. The same with and without a GPU. */
import { layoutBytes, leafBuffers, type LeafBuffer } from '../compile/layout';
import { memoryPlan, planPrograms, type ProgramsPlan } from '../compile/plan';
import type { KernelCapabilities } from '../graph/kernel';
import { byteSize } from '../graph/tensor';
import { methodOf } from '../methods';
import { TRAINS_NOTHING, trainsFor } from '../methods/trained';
import type { ModelOptions } from '../model/leaves';
import { quantizeGraphs, storedDTypes, storedParts } from '../model/weights';
import type { MemoryPlan, ModelSetup, ViewOptions } from '../types';
import { planDecoding, type DecodePlan } from './decode-view';
import { DERIVE, derivedGraph } from './method-graphs';
import { planEmbedding, type EmbedPlan } from './embed-view';
import { planForward, type ForwardPlan } from './forward-view';
import { planScoring, type ScorePlan } from './score-view';
import { planTraining, type TrainPlan } from './train-view';
import type { ViewPlan } from './view';
import { withVirtualRoom } from './virtual-tokens';

export interface SessionPlan {
  readonly model: ModelOptions;
  /** As they were asked for, with room for virtual tokens. */
  readonly views: ViewOptions;
  readonly train: TrainPlan | undefined;
  readonly forward: ForwardPlan | undefined;
  readonly decode: DecodePlan | undefined;
  readonly score: ScorePlan | undefined;
  readonly embed: EmbedPlan | undefined;
  readonly programs: ProgramsPlan;
  readonly buffers: readonly LeafBuffer[];
  readonly readbackBytes: number;
  readonly memory: MemoryPlan;
}

/** `partBytes`: see `StorageOptions`. */
export function planSession(
  setup: ModelSetup,
  asked: ViewOptions,
  capabilities: KernelCapabilities,
  partBytes?: number,
): SessionPlan {
  const views = withVirtualRoom(asked, setup);
  const model = modelOptions(setup, views, partBytes);
  const train = views.train && planTraining(model, views.train);
  const forward = views.forward && planForward(model, views.forward);
  const decode = views.decode && planDecoding(model, views.decode);
  const score = views.score && planScoring(model, views.score);
  const embed = views.embed && planEmbedding(model, views.embed);
  const planned = [train, forward, decode, score, embed].filter(
    (view): view is ViewPlan & typeof view => view !== undefined,
  );

  const derived = derivedGraph(model);
  const graphs = new Map([
    ...quantizeGraphs(model),
    ...(derived ? [[DERIVE, derived] as const] : []),
    ...planned.flatMap((view) => [...view.graphs]),
  ]);
  const programs = planPrograms(graphs, capabilities);
  const flat = planned.flatMap((view) => view.buffers);
  const buffers = [...leafBuffers(programs, flat), ...unreadWeights(model, programs, flat)];
  const readbackBytes = Math.max(...planned.map((view) => view.readbackBytes));
  const memory = memoryPlan(layoutBytes(programs, buffers, readbackBytes));
  return { model, views, train, forward, decode, score, embed, programs, buffers, readbackBytes, memory };
}

function modelOptions(setup: ModelSetup, views: ViewOptions, partBytes: number | undefined): ModelOptions {
  const { train, forward, decode, score, embed } = views;
  const lengths = [train, forward, score, embed].flatMap((view) => view?.lengths ?? []);
  const differentiated = train !== undefined || forward?.gradients === true || embed?.gradients === true;
  return {
    spec: setup.spec,
    weightDType: setup.weightDType,
    quantization: setup.quantization,
    lora: setup.lora,
    prompt: setup.prompt,
    trains: differentiated ? trainsFor(methodOf(setup), setup.trains) : TRAINS_NOTHING,
    positions: Math.max(...lengths, decode?.maxLength ?? 0),
    partBytes,
  };
}

/** Weights that no program reads, as the adapter has copies in their place: the session owns the whole model. */
function unreadWeights(model: ModelOptions, { leaves }: ProgramsPlan, flat: readonly LeafBuffer[]): LeafBuffer[] {
  const dtypes = storedDTypes(model);
  return [...storedParts(model)].flatMap(([parameter, parts]) =>
    parts
      .filter(({ name }) => !leaves.has(name) && !flat.some(({ ranges }) => ranges.has(name)))
      .map(({ name, shape }): LeafBuffer => {
        const bytes = byteSize({ shape, dtype: dtypes.get(parameter)! });
        return { label: name, kind: 'weights', bytes, ranges: new Map([[name, 0]]) };
      }),
  );
}
