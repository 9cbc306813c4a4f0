/** A session owns the weights on a device. Its views are planned together: they share leaves and slots. */
import type { KeepParameter, LoadStream, WeightTensor } from '../../core/weights';
import { byWhole, splitParts } from '../compile/parts';
import { methodOf } from '../methods';
import { methodLeaves, trainedLeaves, trainedParameters } from '../methods/trained';
import { loadModel } from '../model/load';
import { tokenIdsLeaf, type ModelOptions } from '../model/leaves';
import { RotaryLeaves } from '../model/rotary-leaves';
import { Memory } from '../runtime/memory';
import type { Runtime } from '../runtime/runtime';
import { tune } from '../runtime/tuner';
import { checkTensors, converted } from '../runtime/upload';
import type { MemoryPlan, ModelSetup, Session, ViewOptions, Views } from '../types';
import { GpuDecodeView } from './decode-view';
import { GpuEmbedView } from './embed-view';
import { GpuForwardView } from './forward-view';
import { refreshDerived } from './method-graphs';
import { planForDevice } from './plan-for-device';
import type { SessionPlan } from './plan-session';
import { GpuScoreView } from './score-view';
import { GpuTrainView } from './train-view';
import type { SessionCore } from './view';

export class GpuSession<V extends ViewOptions> implements Session<V> {
  private constructor(
    private readonly planned: SessionPlan,
    private readonly core: SessionCore,
    readonly views: Views<V>,
  ) {}

  static async create<V extends ViewOptions>(
    runtime: Runtime,
    setup: ModelSetup,
    options: V,
    weights: LoadStream,
    keep?: KeepParameter,
  ): Promise<GpuSession<V>> {
    const planned = await planForDevice(runtime, setup, options);
    const { model, views: roomy, programs, buffers, readbackBytes } = planned;
    await tune(runtime, programs);
    const memory = await Memory.allocate(runtime, programs, buffers, readbackBytes);
    try {
      const trained = { version: 0 };
      const refresh = refreshDerived(memory, model, trained);
      const core: SessionCore = {
        model,
        memory,
        rotary: new RotaryLeaves(memory, model),
        trained,
        exclusively: inTurn(refresh),
        accumulating: oneAtATime(),
      };
      await loadModel(runtime.device, memory, model, weights, keep);
      writeTokenIds(memory, model);
      const train = planned.train && new GpuTrainView(core, roomy.train!, planned.train);
      await train?.initialize();
      const views = {
        ...(train && { train }),
        ...(planned.forward && { forward: new GpuForwardView(core, roomy.forward!, planned.forward) }),
        ...(planned.score && { score: new GpuScoreView(core, roomy.score!, planned.score) }),
        ...(planned.embed && { embed: new GpuEmbedView(core, roomy.embed!, planned.embed) }),
        ...(planned.decode && { decode: new GpuDecodeView(core, roomy.decode!, planned.decode) }),
      };
      return new GpuSession(planned, core, views as Views<V>);
    } catch (error) {
      memory.destroy();
      throw error;
    }
  }

  get plan(): MemoryPlan {
    return this.planned.memory;
  }

  get liveBytes(): MemoryPlan {
    return this.core.memory.ledger.liveBytes();
  }

  async compile(): Promise<void> {
    const { memory } = this.core;
    await Promise.all(this.planned.programs.programs.map(({ name }) => memory.program(name)));
  }

  async importParameters(tensors: readonly WeightTensor[]): Promise<void> {
    const { core } = this;
    const { memory, model } = core;
    // Decoding takes an adapter that nothing here trains.
    const trained = trainedParameters(model);
    const taken = trained.length === 0 ? methodOf(model).parameters : trained;
    if (taken.length === 0) throw new Error('this session has no adapter');
    checkTensors(tensors, taken);
    const leaves = byWhole(trained.length === 0 ? methodLeaves(model) : trainedLeaves(model));
    const parts = tensors.flatMap((tensor) => splitParts(tensor, leaves.get(tensor.name)!));
    const write = () => {
      core.trained.version++;
      for (const part of parts) {
        // Nothing holds what no view reads, as embeddings don't read the head.
        if (memory.holds(part.name)) memory.write(part.name, converted(part, 'f32'));
      }
      return Promise.resolve();
    };
    await core.accumulating(() => core.exclusively(write));
  }

  dispose(): void {
    this.core.memory.destroy();
  }
}

/** Writes the ids of the tokens that the method has rows of, or begins with, where a program asks. */
function writeTokenIds(memory: Memory, model: ModelOptions): void {
  for (const [name, ids] of methodOf(model).tokenIds) {
    const leaf = tokenIdsLeaf(name);
    if (memory.holds(leaf)) memory.write(leaf, Uint32Array.from(ids));
  }
}

/** Runs one piece of work after the other, in the order of the calls, and `first` before each. */
function inTurn(first: () => Promise<void>): SessionCore['exclusively'] {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(first).then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

/**
 * Runs one piece of work after the other, the first within its call: what it does exclusively then comes before what is
 * asked for after it.
 */
function oneAtATime(): SessionCore['accumulating'] {
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = waiting++ === 0 ? work() : last.then(work);
    const ended = () => void waiting--;
    last = result.then(ended, ended);
    return result;
  };
}
