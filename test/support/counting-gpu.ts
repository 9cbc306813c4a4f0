/** A GPU that counts what is made on its devices: an account beside the engine's own ledger. */

export interface GpuCounts {
  created: number;
  destroyed: number;
  liveBytes: number;
  peakBytes: number;
  /** Pipelines and bind groups. */
  bound: number;
}

export function countingGpu(gpu: GPU): { gpu: GPU; counts: GpuCounts } {
  const counts: GpuCounts = { created: 0, destroyed: 0, liveBytes: 0, peakBytes: 0, bound: 0 };
  const requestAdapter = async (options?: GPURequestAdapterOptions) => {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      countBuffers(device, counts);
      countBindings(device, counts);
      return device;
    };
    return adapter;
  };
  return { gpu: { requestAdapter } as GPU, counts };
}

function countBuffers(device: GPUDevice, counts: GpuCounts): void {
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    counts.created++;
    counts.liveBytes += buffer.size;
    counts.peakBytes = Math.max(counts.peakBytes, counts.liveBytes);
    const destroy = buffer.destroy.bind(buffer);
    let alive = true;
    buffer.destroy = () => {
      if (alive) {
        counts.destroyed++;
        counts.liveBytes -= buffer.size;
      }
      alive = false;
      destroy();
    };
    return buffer;
  };
}

function countBindings(device: GPUDevice, counts: GpuCounts): void {
  const createBindGroup = device.createBindGroup.bind(device);
  device.createBindGroup = (descriptor) => {
    counts.bound++;
    return createBindGroup(descriptor);
  };
  const createPipeline = device.createComputePipelineAsync.bind(device);
  device.createComputePipelineAsync = (descriptor) => {
    counts.bound++;
    return createPipeline(descriptor);
  };
}
