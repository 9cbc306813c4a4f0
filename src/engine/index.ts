/** The engine's door: devices, plans and sessions. Everything else in this folder is inside. */
import type { Profile } from '../core/profile';
import { Device } from './runtime/device';
import { GpuInferenceSession, planInferenceSession } from './session/infer';
import { PLAIN } from './graph/kernel';
import { mergeAdapter } from './session/merge';
import { Profiler } from './runtime/profile';
import { PipelineCache, SubmitPacer } from './runtime/program';
import { GpuTrainSession, planTrainSession } from './session/train';
import type { DeviceOptions, Engine, InferenceOptions, MemoryPlan, TrainOptions } from './types';

export type * from './types';

/** Opens a device of the given WebGPU implementation. Throws `no-webgpu` where it offers none. */
export async function openEngine(gpu: GPU | undefined, options?: DeviceOptions): Promise<Engine> {
  const device = await Device.open(gpu, options);
  const pipelines = new PipelineCache(device);
  const pacer = new SubmitPacer();
  return {
    info: device.info,
    lost: device.lost,
    createTrainSession: (train, ...loading) => GpuTrainSession.create(device, pipelines, pacer, train, ...loading),
    createInferenceSession: (infer, ...loading) =>
      GpuInferenceSession.create(device, pipelines, pacer, infer, ...loading),
    mergeAdapter: (spec, lora, adapter, weights) =>
      mergeAdapter(device, pipelines, pacer, spec, lora, adapter, weights),
    profile: (work, clock) => profiled(device, work, clock),
    destroy: () => device.destroy(),
  };
}

async function profiled<T>(
  device: Device,
  work: () => Promise<T>,
  clock?: () => number,
): Promise<{ value: T; profile: Profile }> {
  const profiler = new Profiler(device, clock);
  device.profiler = profiler;
  try {
    const value = await work();
    return { value, profile: profiler.report() };
  } finally {
    device.profiler = undefined;
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
