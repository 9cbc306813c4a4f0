/** The engine's door: devices, plans and sessions. Everything else in this folder is inside. */
import type { Profile } from '../core/profile';
import { GpuInferenceSession, planInferenceSession } from './session/infer';
import { PLAIN } from './graph/kernel';
import { mergeAdapter } from './session/merge';
import { Profiler } from './runtime/profile';
import { Runtime } from './runtime/runtime';
import { GpuTrainSession, planTrainSession } from './session/train';
import type { DeviceOptions, Engine, InferenceOptions, MemoryPlan, TrainOptions } from './types';

export type * from './types';

/** Opens a device of the given WebGPU implementation. Throws `no-webgpu` where it offers none. */
export async function openEngine(gpu: GPU | undefined, options?: DeviceOptions): Promise<Engine> {
  const runtime = await Runtime.open(gpu, options);
  const { device } = runtime;
  return {
    info: device.info,
    lost: device.lost,
    createTrainSession: (train, ...loading) => GpuTrainSession.create(runtime, train, ...loading),
    createInferenceSession: (infer, ...loading) => GpuInferenceSession.create(runtime, infer, ...loading),
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
    return { value, profile: profiler.report() };
  } finally {
    runtime.timer = undefined;
    profiler.destroy();
  }
}

/** Bytes of a training run, exact, without a GPU. */
export function planTraining(options: TrainOptions): MemoryPlan {
  return planTrainSession(options, PLAIN).memory;
}

/** Bytes of an inference session, exact, without a GPU. */
export function planInference(options: InferenceOptions): MemoryPlan {
  return planInferenceSession(options, PLAIN).memory;
}
