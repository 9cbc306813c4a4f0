/** A GPU that stands before another one: it offers less than that does, and tests reach the devices that it hands out. */
import type { DeviceOptions } from '../../src/engine';

export interface Wrapping extends DeviceOptions {
  /** Gets every device before the program under test does. */
  readonly onDevice?: (device: GPUDevice) => void;
}

/** What the program under test sees of WebGPU is kept: adapters, with their features, limits and devices. */
export function wrapGpu(gpu: GPU, wrapping: Wrapping): GPU {
  const requestAdapter = async (options?: GPURequestAdapterOptions) => {
    const adapter = await gpu.requestAdapter(options);
    return adapter && wrapAdapter(adapter, wrapping);
  };
  return { requestAdapter } as Partial<GPU> as GPU;
}

function wrapAdapter(adapter: GPUAdapter, { withoutFeatures = [], defaultLimits, onDevice }: Wrapping): GPUAdapter {
  const { info, limits } = adapter;
  const features = new Set([...adapter.features].filter((name) => !withoutFeatures.includes(name)));
  const requestDevice = async (descriptor: GPUDeviceDescriptor = {}) => {
    const device = await adapter.requestDevice(defaultLimits ? { ...descriptor, requiredLimits: {} } : descriptor);
    onDevice?.(device);
    return device;
  };
  return { info, limits, features, requestDevice } as Partial<GPUAdapter> as GPUAdapter;
}
