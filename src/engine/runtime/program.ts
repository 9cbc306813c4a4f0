/**
 * Programs: a plan's kernels with pipelines and bind groups built once; running one is a replay of recorded dispatches
 * over as many submits as a time budget asks for, so that no driver watchdog fires.
 */
import { GraftError } from '../../core/errors';
import type { Device } from './device';
import { Dispatch, DISPATCH_FLOPS } from './dispatch';
import { kernelSource, pipelineKey, type Kernel } from '../graph/kernel';
import { UNIFORM_ALIGNMENT, type PlannedProgram } from '../compile/plan';
import type { Operand } from '../graph/tensor';

/** Longest time that one submit may hold the GPU, in milliseconds; drivers reset after two seconds or more. */
const SUBMIT_BUDGET_MS = 200;

/** Where the speed estimate starts: a slow software adapter, in flops per millisecond. */
const INITIAL_RATE = 5e5;

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

/** Learns how fast the device is from finished submits. */
export class SubmitPacer {
  private rate = INITIAL_RATE;

  /** Cost that fits the budget. */
  get budget(): number {
    return this.rate * SUBMIT_BUDGET_MS;
  }

  observe(cost: number, milliseconds: number): void {
    if (cost < DISPATCH_FLOPS * 16 || milliseconds <= 0) return;
    this.rate = 0.7 * this.rate + 0.3 * (cost / milliseconds);
  }
}

export class Program {
  private constructor(
    private readonly device: Device,
    private readonly pacer: SubmitPacer,
    private readonly dispatches: readonly Dispatch[],
  ) {}

  /** Compiles what is not compiled yet and binds every kernel of a planned program. */
  static async build(
    device: Device,
    pipelines: PipelineCache,
    pacer: SubmitPacer,
    plan: PlannedProgram,
    uniforms: GPUBuffer,
    bufferOf: (operand: Operand) => GPUBufferBinding,
  ): Promise<Program> {
    writeUniforms(device, plan, uniforms);
    const kernels = plan.kernels.map((kernel) => device.choices.of(kernel));
    const compiled = await device.wait(Promise.all(kernels.map((kernel) => pipelines.get(kernel))));
    const dispatches = kernels.map((kernel, i) => {
      const pipeline = compiled[i]!;
      const offset = plan.uniformOffset + i * UNIFORM_ALIGNMENT;
      const entries: GPUBindGroupEntry[] = [
        { binding: 0, resource: { buffer: uniforms, offset, size: UNIFORM_ALIGNMENT } },
        ...kernel.bindings.flatMap((operand, k) => (operand ? [{ binding: k + 1, resource: bufferOf(operand) }] : [])),
      ];
      const bindGroup = device.gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      return new Dispatch(kernel, pipeline, bindGroup);
    });
    return new Program(device, pacer, dispatches);
  }

  /** Replays every dispatch. `finish` may add copies to the last submit. Resolves when the last is submitted. */
  async run(finish?: (encoder: GPUCommandEncoder) => void, profiler = this.device.profiler): Promise<void> {
    this.device.assertAlive();
    if (profiler) return profiler.run(this.dispatches, this.pacer.budget, finish);
    let next = 0;
    do {
      const encoder = this.device.gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const budget = this.pacer.budget;
      let cost = 0;
      while (next < this.dispatches.length && (cost === 0 || cost + this.dispatches[next]!.cost <= budget)) {
        const dispatch = this.dispatches[next++]!;
        dispatch.encode(pass);
        cost += dispatch.cost;
      }
      pass.end();
      const last = next === this.dispatches.length;
      if (last) finish?.(encoder);
      const started = performance.now();
      this.device.gpu.queue.submit([encoder.finish()]);
      if (!last) {
        // One submit at a time in flight, so that the measured time is this submit's own.
        await this.device.wait(this.device.gpu.queue.onSubmittedWorkDone());
        this.pacer.observe(cost, performance.now() - started);
      }
    } while (next < this.dispatches.length);
  }
}

function writeUniforms(device: Device, plan: PlannedProgram, uniforms: GPUBuffer): void {
  if (plan.kernels.length === 0) return;
  const words = new DataView(new ArrayBuffer(plan.kernels.length * UNIFORM_ALIGNMENT));
  plan.kernels.forEach((kernel, i) => {
    kernel.params.forEach((param, k) => {
      const offset = i * UNIFORM_ALIGNMENT + 4 * k;
      if ('u32' in param) words.setUint32(offset, param.u32, true);
      else words.setFloat32(offset, param.f32, true);
    });
  });
  device.gpu.queue.writeBuffer(uniforms, plan.uniformOffset, words.buffer);
}

/** Runs allocations and turns the device's own out-of-memory and validation errors into one sentence. */
export async function allocating<T>(device: Device, allocate: () => T): Promise<T> {
  device.assertAlive();
  device.gpu.pushErrorScope('validation');
  device.gpu.pushErrorScope('out-of-memory');
  const result = allocate();
  const [outOfMemory, invalid] = await device.wait(
    Promise.all([device.gpu.popErrorScope(), device.gpu.popErrorScope()]),
  );
  const error = outOfMemory ?? invalid;
  if (error) {
    throw new GraftError(
      'out-of-memory',
      `The GPU could not hold this run (${error.message.split('\n')[0]}): use a smaller batch, a shorter max_length, or gradient_checkpointing.`,
    );
  }
  return result;
}
