/** One kernel with its buffers, and who may run many of them instead of their program. */
import { workgroupsFor, type Kernel } from '../graph/kernel';
import { DISPATCH_FLOPS, type SubmitPacer } from './pacer';

/** A kernel with its buffers, ready to run. */
export class Dispatch {
  /** What the pacer knows it by: kernels of one shader with the same modules, which read weights of one type. */
  readonly kind: string;
  readonly cost: number;

  constructor(
    readonly kernel: Kernel,
    private readonly pipeline: GPUComputePipeline,
    private readonly bindGroup: GPUBindGroup,
  ) {
    this.kind = [kernel.shader.name, ...(kernel.modules ?? []).map(({ name }) => name)].join(' ');
    this.cost = kernel.flops + DISPATCH_FLOPS;
  }

  /** The dispatch in a run of a batch that has so many of the rows that kernels count; undefined where it has no work. */
  ofRows(count: number): Dispatch | undefined {
    const { rows, ...kernel } = this.kernel;
    const workgroups = workgroupsFor(this.kernel, count);
    if (!rows || !workgroups) return workgroups && this;
    const flops = (kernel.flops * Math.min(rows.count, count - rows.first)) / rows.count;
    return new Dispatch({ ...kernel, workgroups, flops }, this.pipeline, this.bindGroup);
  }

  encode(pass: GPUComputePassEncoder): void {
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, this.bindGroup);
    pass.dispatchWorkgroups(...this.kernel.workgroups);
  }
}

/** Runs a program's dispatches in its place, to time them. */
export interface DispatchTimer {
  /** In submits that end where `pacer` says; `finish` may add copies to the last. */
  run(
    dispatches: readonly Dispatch[],
    pacer: Pick<SubmitPacer, 'endOfSubmit'>,
    finish?: (encoder: GPUCommandEncoder) => void,
  ): Promise<void>;
}
