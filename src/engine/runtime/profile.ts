/**
 * Time by kernel. A profiled program runs each dispatch in a pass of its own between two timestamps, or, where the
 * device has no timestamp queries, in a submit of its own. Timestamps may be rounded (browsers do): begin and end are
 * rounded alike, so sums over a step come out right where single kernels don't.
 */
import type { KernelTime, Profile } from '../../core/profile';
import type { Device } from './device';
import type { Kernel } from '../graph/kernel';
import type { Dispatch, DispatchTimer } from './dispatch';
import type { SubmitPacer } from './pacer';
import { byteSize, type Operand } from '../graph/tensor';

/** WebGPU's limit on the queries of a set (spec, section 20.1). */
const MAX_QUERIES = 4096;
const QUERY_BYTES = 8;

/** WebGPU's usage bits; Node has no global of them. */
const RESOLVE_USAGE = 0x200 | 0x4; // QUERY_RESOLVE, COPY_SRC
const READ_USAGE = 0x1 | 0x8; // MAP_READ, COPY_DST
const MAP_MODE_READ = 0x1;

/** Empty submits that say what a submit costs by itself. */
const EMPTY_SUBMITS = 5;

/** Runs dispatches and remembers what each took. */
export class Profiler implements DispatchTimer {
  /** Every dispatch in the order of its run. */
  readonly samples: { readonly kernel: Kernel; readonly milliseconds: number }[] = [];
  private readonly timestamps: boolean;
  private readonly clock: () => number;
  private readonly stamps: bigint[] = [];
  private queries: { set: GPUQuerySet; resolved: GPUBuffer; read: GPUBuffer } | undefined;
  private submitCost: number | undefined;

  /** `clock`: milliseconds of another clock; submits are then timed with it (CPU time, on a machine that is shared). */
  constructor(
    private readonly device: Device,
    clock?: () => number,
  ) {
    this.timestamps = !clock && device.gpu.features.has('timestamp-query');
    this.clock = clock ?? (() => performance.now());
  }

  /** Runs them all, in submits that end where `pacer` says. `finish` may add copies to the last. */
  async run(
    dispatches: readonly Dispatch[],
    pacer: Pick<SubmitPacer, 'endOfSubmit'>,
    finish?: (encoder: GPUCommandEncoder) => void,
  ): Promise<void> {
    let next = 0;
    do {
      const batch = dispatches.slice(next, pacer.endOfSubmit(dispatches, next, this.mostDispatches));
      next += batch.length;
      const last = next === dispatches.length ? finish : undefined;
      await (this.timestamps ? this.stamped(batch, last) : this.timed(batch, last));
    } while (next < dispatches.length);
  }

  private get mostDispatches(): number {
    return this.timestamps ? MAX_QUERIES / 2 : 1;
  }

  private async stamped(batch: readonly Dispatch[], finish?: (encoder: GPUCommandEncoder) => void): Promise<void> {
    const { gpu } = this.device;
    const { set, resolved, read } = (this.queries ??= this.createQueries());
    const encoder = gpu.createCommandEncoder();
    batch.forEach((dispatch, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet: set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      dispatch.encode(pass);
      pass.end();
    });
    const bytes = 2 * QUERY_BYTES * batch.length;
    if (bytes > 0) {
      encoder.resolveQuerySet(set, 0, 2 * batch.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, read, 0, bytes);
    }
    finish?.(encoder);
    gpu.queue.submit([encoder.finish()]);
    if (bytes === 0) return;
    await this.device.wait(read.mapAsync(MAP_MODE_READ, 0, bytes));
    const stamps = new BigUint64Array(read.getMappedRange(0, bytes).slice(0));
    read.unmap();
    this.stamps.push(...stamps);
    batch.forEach(({ kernel }, i) => {
      // A clock that was reset in between says nothing; WebGPU allows that.
      const nanoseconds = Math.max(0, Number(stamps[2 * i + 1]! - stamps[2 * i]!));
      this.samples.push({ kernel, milliseconds: nanoseconds / 1e6 });
    });
  }

  private async timed([dispatch]: readonly Dispatch[], finish?: (encoder: GPUCommandEncoder) => void): Promise<void> {
    this.submitCost ??= await this.measureSubmitCost();
    if (dispatch) {
      const milliseconds = Math.max(0, (await this.submit(dispatch)) - this.submitCost);
      this.samples.push({ kernel: dispatch.kernel, milliseconds });
    }
    if (finish) {
      const encoder = this.device.gpu.createCommandEncoder();
      finish(encoder);
      this.device.gpu.queue.submit([encoder.finish()]);
    }
  }

  private async measureSubmitCost(): Promise<number> {
    const costs: number[] = [];
    for (let i = 0; i < EMPTY_SUBMITS; i++) costs.push(await this.submit());
    return Math.min(...costs);
  }

  private async submit(dispatch?: Dispatch): Promise<number> {
    const { gpu } = this.device;
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    dispatch?.encode(pass);
    pass.end();
    const commands = encoder.finish();
    await this.device.wait(gpu.queue.onSubmittedWorkDone());
    const began = this.clock();
    gpu.queue.submit([commands]);
    await this.device.wait(gpu.queue.onSubmittedWorkDone());
    return this.clock() - began;
  }

  private createQueries() {
    const { gpu } = this.device;
    const size = MAX_QUERIES * QUERY_BYTES;
    return {
      set: gpu.createQuerySet({ type: 'timestamp', count: MAX_QUERIES }),
      resolved: gpu.createBuffer({ size, usage: RESOLVE_USAGE, label: 'timestamps' }),
      read: gpu.createBuffer({ size, usage: READ_USAGE, label: 'timestamps read-back' }),
    };
  }

  /** Everything that ran so far, by kernel and shapes. */
  report(): Profile {
    const milliseconds = this.samples.reduce((sum, sample) => sum + sample.milliseconds, 0);
    const kernels = new Map<string, KernelTime>();
    for (const { kernel, milliseconds: taken } of this.samples) {
      const names = { kernel: kernel.shader.name, variant: variantName(kernel), shapes: shapeClass(kernel) };
      const key = Object.values(names).join('|');
      const sum = kernels.get(key);
      kernels.set(key, {
        ...names,
        calls: 1 + (sum?.calls ?? 0),
        milliseconds: taken + (sum?.milliseconds ?? 0),
        share: (milliseconds > 0 ? taken / milliseconds : 0) + (sum?.share ?? 0),
        flops: kernel.flops + (sum?.flops ?? 0),
        bytes: boundBytes(kernel) + (sum?.bytes ?? 0),
      });
    }
    return {
      clock: this.timestamps ? 'timestamps' : 'submits',
      resolution: this.timestamps ? Number(this.stamps.reduce(greatestDivisor, 0n)) / 1e6 : 0,
      milliseconds,
      kernels: [...kernels.values()].sort((a, b) => b.milliseconds - a.milliseconds),
    };
  }

  destroy(): void {
    this.queries?.set.destroy();
    this.queries?.resolved.destroy();
    this.queries?.read.destroy();
    this.queries = undefined;
  }
}

/** Every reading is a multiple of what a clock rounds to. */
function greatestDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestDivisor(b, a % b);
}

function variantName({ modules = [], sizes = {}, constants = {} }: Kernel): string {
  const set = [...Object.entries(sizes), ...Object.entries(constants)].filter(([, value]) => value !== 0);
  return [
    ...modules.map((module) => module.name),
    ...set.map(([name, value]) => (value === 1 ? name : `${name}=${value}`)),
  ].join(' ');
}

function boundOperands(kernel: Kernel): Operand[] {
  return [...new Set(kernel.bindings.filter((operand) => operand !== undefined))];
}

function shapeClass(kernel: Kernel): string {
  const shapes = boundOperands(kernel).map(({ shape }) => shape.join('×'));
  return [...new Set(shapes)].filter((shape) => shape !== '1').join(' ');
}

function boundBytes(kernel: Kernel): number {
  return boundOperands(kernel).reduce((sum, operand) => sum + byteSize(operand), 0);
}
