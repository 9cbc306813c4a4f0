/** The engine's door: devices, plans and sessions. Everything else in this folder is inside. */
import type { Profile } from '../core/profile';
import { PLAIN, type Kernel } from './graph/kernel';
import { quantizeGptq } from './int4/gptq';
import { GpuLayerView } from './int4/layer';
import { outputError } from './int4/output-error';
import { mergeAdapter } from './session/merge';
import { Profiler } from './runtime/profile';
import { measureRate } from './runtime/rate';
import { DISPATCH_FLOPS } from './runtime/pacer';
import { Runtime } from './runtime/runtime';
import { planSession as planPrograms } from './session/plan-session';
import { GpuSession } from './session/session';
import type { DeviceOptions, Engine, MemoryPlan, ModelSetup, ViewOptions } from './types';

export { clipGroups, scaledColumns, searchScales } from './int4/awq';
export { sharedInputs } from './int4/layer';
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
    openLayer: (spec, layer, length) => GpuLayerView.create(runtime, spec, layer, length),
    quantizeGptq: (matrix, options) => quantizeGptq(runtime, matrix, options),
    outputError: (differences, gram) => outputError(runtime, differences, gram),
    profile: (work, clock) => profiled(runtime, work, clock),
    measureRate: () => measureRate(runtime),
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
  /** Flops of a run of each program, with what its dispatches cost beside their arithmetic. */
  readonly flops: ReadonlyMap<string, number>;
}

export function planSession(model: ModelSetup, views: ViewOptions): SessionCost {
  const { memory, programs } = planPrograms(model, views, PLAIN);
  const { programs: planned } = programs;
  const flopsOf = (kernels: readonly Kernel[]) => kernels.reduce((sum, { flops }) => sum + flops + DISPATCH_FLOPS, 0);
  return {
    memory,
    dispatches: new Map(planned.map(({ name, kernels }) => [name, kernels.length])),
    flops: new Map(planned.map(({ name, kernels }) => [name, flopsOf(kernels)])),
  };
}
