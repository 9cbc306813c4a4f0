/** Sessions with one view, their options in one object, as tests want them. */
import type { KernelCapabilities } from '../../src/engine/graph/kernel';
import type {
  DecodeView,
  DecodeViewOptions,
  Engine,
  ForwardResult,
  MemoryPlan,
  ModelSetup,
  Session,
  TrainView,
  TrainViewOptions,
  Batch,
} from '../../src/engine';
import { planSession } from '../../src/engine';
import { planSession as planPrograms, type SessionPlan } from '../../src/engine/session/plan-session';
import { wholeTensor, type KeepParameter, type LoadStream, type StateTensor } from '../../src/core/weights';

export type TrainOptions = ModelSetup & TrainViewOptions;
export type DecodeOptions = ModelSetup & DecodeViewOptions;
type Base = Pick<Session<object>, 'plan' | 'liveBytes' | 'compile' | 'importParameters' | 'dispose'>;
export type TrainSession = Base & TrainView & { exportState(): Promise<StateTensor[]> };
export type ForwardSession = Base & { forward(batch: Batch): Promise<ForwardResult> };
/** Sequences side by side, in the slots from 0 on. */
export interface SideBySide {
  /** Admits prompts and returns the logits after each, f32 [prompts, vocab]. */
  prefill(prompts: readonly (readonly number[])[], useAdapter?: boolean): Promise<Float32Array>;
  /** Appends one token to each and returns the next logits, f32 [sequences, vocab]. */
  next(tokens: readonly number[]): Promise<Float32Array>;
}
export type DecodeSession = Base & SideBySide & { readonly view: DecodeView };

function setupOf({ spec, weightDType, quantization, lora, prompt, trains }: ModelSetup): ModelSetup {
  return { spec, weightDType, quantization, lora, prompt, trains };
}

function baseOf(session: Session<object>): Base {
  return {
    get plan() {
      return session.plan;
    },
    get liveBytes() {
      return session.liveBytes;
    },
    compile: (report) => session.compile(report),
    importParameters: (tensors) => session.importParameters(tensors),
    dispose: () => session.dispose(),
  };
}

/** The whole training state in memory. */
export async function exportState(train: TrainView): Promise<StateTensor[]> {
  const state: StateTensor[] = [];
  for (const entry of train.stateEntries()) state.push(await wholeTensor(entry));
  return state;
}

function trainFace(train: TrainView): TrainView & { exportState(): Promise<StateTensor[]> } {
  return {
    step: train.step.bind(train),
    evaluate: train.evaluate.bind(train),
    exportParameters: train.exportParameters.bind(train),
    exportState: () => exportState(train),
    stateEntries: train.stateEntries.bind(train),
    importState: train.importState.bind(train),
    keepReference: train.keepReference.bind(train),
  };
}

export async function openTraining(
  engine: Engine,
  options: TrainOptions,
  weights: LoadStream,
  keep?: KeepParameter,
): Promise<TrainSession> {
  const session = await engine.createSession(setupOf(options), { train: options }, weights, keep);
  const { train } = session.views;
  return Object.assign(baseOf(session), trainFace(train));
}

/** With gradients, of everything that `options` would train, unless told otherwise. */
export async function openForward(
  engine: Engine,
  options: TrainOptions,
  weights: LoadStream,
  { gradients = true, keep }: { gradients?: boolean; keep?: KeepParameter | undefined } = {},
): Promise<ForwardSession> {
  const views = { forward: { ...options, gradients } };
  const session = await engine.createSession(setupOf(options), views, weights, keep);
  return Object.assign(baseOf(session), { forward: (batch: Batch) => session.views.forward.run(batch) });
}

/** Training, and one pass with every logit and every gradient, over the same weights. */
export async function openBoth(
  engine: Engine,
  options: TrainOptions,
  weights: LoadStream,
): Promise<TrainSession & ForwardSession> {
  const views = { train: options, forward: { ...options, gradients: true } };
  const session = await engine.createSession(setupOf(options), views, weights);
  const { train, forward } = session.views;
  return Object.assign(baseOf(session), trainFace(train), {
    forward: (batch: Batch) => forward.run(batch),
  });
}

export async function openDecoding(
  engine: Engine,
  options: DecodeOptions,
  weights: LoadStream,
): Promise<DecodeSession> {
  const session = await engine.createSession(setupOf(options), { decode: options }, weights);
  const view = session.views.decode;
  return Object.assign(baseOf(session), { view, ...sideBySide(view) });
}

export function sideBySide(view: DecodeView): SideBySide {
  const joined = (logits: readonly Float32Array[]) => Float32Array.from(logits.flatMap((values) => [...values]));
  return {
    async prefill(prompts, useAdapter = true) {
      const logits: Float32Array[] = [];
      for (const [slot, ids] of prompts.entries()) logits.push(await view.admit(slot, ids, { useAdapter }));
      return joined(logits);
    },
    async next(tokens) {
      const logits = await view.decode(new Map(tokens.entries()));
      return joined(tokens.map((_, slot) => logits.get(slot)!));
    },
  };
}

export const planTraining = (options: TrainOptions): MemoryPlan =>
  planSession(setupOf(options), { train: options }).memory;
export const planDecoding = (options: DecodeOptions): MemoryPlan =>
  planSession(setupOf(options), { decode: options }).memory;

export function planTrainSession(
  options: TrainOptions,
  capabilities: KernelCapabilities,
  partBytes?: number,
): SessionPlan {
  return planPrograms(setupOf(options), { train: options }, capabilities, partBytes);
}

export function planDecodeSession(
  options: DecodeOptions,
  capabilities: KernelCapabilities,
  partBytes?: number,
): SessionPlan {
  return planPrograms(setupOf(options), { decode: options }, capabilities, partBytes);
}
