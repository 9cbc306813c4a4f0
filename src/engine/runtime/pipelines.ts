/** Pipelines, compiled once for each specialisation of a kernel. */
import { kernelSource, pipelineKey, type Kernel } from '../graph/kernel';
import type { Device } from './device';

/** Pipelines by kernel specialisation, shared by all programs of a device. */
export class PipelineCache {
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(private readonly device: Device) {}

  get(kernel: Kernel): Promise<GPUComputePipeline> {
    const key = pipelineKey(kernel);
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      const module = this.device.gpu.createShaderModule({ code: kernelSource(kernel), label: kernel.shader.name });
      pipeline = this.device.gpu.createComputePipelineAsync({
        layout: 'auto',
        label: key,
        compute: { module, entryPoint: 'main', constants: { ...kernel.constants } },
      });
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }
}
