/** The engine's door: devices, plans and sessions. Everything else in this folder is inside. */
import type { Profile } from '../core/profile';
import { PLAIN } from './graph/kernel';
import { mergeAdapter } from './session/merge';
import { Profiler } from './runtime/profile';
import { Runtime } from './runtime/runtime';
import { planSession as planned } from './session/plan-session';
import { GpuSession } from './session/session';
import type { DeviceOptions, Engine, MemoryPlan, ModelSetup, ViewOptions } from './types';

export type * from './types';

/** Opens a device of the given WebGPU implementation. Throws `no-webgpu` where it offers none. */
export async function openEngine(gpu: GPU | undefined, options?: DeviceOptions): Promise<Engine> {
  const runtime = await Runtime.open(gpu, options);
  const { device } = runtime;
  return {
    info: device.info,
    lost: device.lost,
    createSession: (model, views, ...loading) => GpuSession.create(runtime, model, views, ...loading),
    mergeAdapter: (spec, lora, adapter, weights) => mergeAdapter(runtime, spec, lora, adapter, weights),
    profile: (work, clock) => profiled(runtime, work, clock),
    destroy: () => device.destroy(),
  };
}

async function profiled<T>(
  runtime: Runtime,
  work: () => Promise<T>,
  clock?: () => number,
): Promise<{ value: T; profile: Profile }> {
  const profiler = new Profiler(runtime.device, clock);
  runtime.timer = profiler;
  try {
    const value = await work();
    const differing = runtime.choices.differing();
    return { value, profile: { ...profiler.report(), ...(differing.length > 0 && { differing }) } };
  } finally {
    runtime.timer = undefined;
    profiler.destroy();
  }
}

/** What a session takes, exact, without a GPU. */
export interface SessionCost {
  readonly memory: MemoryPlan;
  /** Dispatches of a run of each program, by its name, where every row is labelled. */
  readonly dispatches: ReadonlyMap<string, number>;
}

export function planSession(model: ModelSetup, views: ViewOptions): SessionCost {
  const { memory, programs } = planned(model, views, PLAIN);
  return { memory, dispatches: new Map(programs.programs.map(({ name, kernels }) => [name, kernels.length])) };
}
