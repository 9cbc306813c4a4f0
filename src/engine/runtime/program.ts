/** Programs: a plan's kernels with pipelines and bind groups built once; running one is a replay of its dispatches. */
import { UNIFORM_ALIGNMENT, type PlannedProgram } from '../compile/plan';
import type { Operand } from '../graph/tensor';
import type { Device } from './device';
import { Dispatch, type DispatchTimer } from './dispatch';
import type { Runtime } from './runtime';

export class Program {
  private constructor(
    private readonly runtime: Runtime,
    private readonly dispatches: readonly Dispatch[],
  ) {}

  /** Compiles what is not compiled yet and binds every kernel of a planned program. */
  static async build(
    runtime: Runtime,
    plan: PlannedProgram,
    uniforms: GPUBuffer,
    bufferOf: (operand: Operand) => GPUBufferBinding,
  ): Promise<Program> {
    const { device, pipelines, choices } = runtime;
    writeUniforms(device, plan, uniforms);
    const kernels = plan.kernels.map((kernel) => choices.of(kernel));
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
    return new Program(runtime, dispatches);
  }

  /** Runs every dispatch that has work in a batch of so many rows (`Kernel.rows`); see `Runtime.run`. */
  run(finish?: (encoder: GPUCommandEncoder) => void, timer?: DispatchTimer, rows = Infinity): Promise<void> {
    const present = this.dispatches.flatMap((dispatch) => dispatch.ofRows(rows) ?? []);
    return this.runtime.run(present, finish, timer);
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
