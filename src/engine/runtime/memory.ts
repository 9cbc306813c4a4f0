/**
 * Where a session's tensors live: one buffer a leaf, trainable leaves side by side in flat groups, one buffer a slot,
 * one for all uniforms. The same layout gives the planned bytes and makes the buffers, so the two can't disagree.
 */
import { elementCount } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { Device } from './device';
import { allocating } from './allocate';
import { Ledger } from './ledger';
import { byteSize, type Operand, type Tensor } from '../graph/tensor';
import type { LeafBuffer } from '../compile/layout';
import { UNIFORM_ALIGNMENT, type ProgramsPlan } from '../compile/plan';
import { Program } from './program';
import type { Runtime } from './runtime';

/** WebGPU's usage bits (spec, section 5.1); Node has no global of them. */
const USAGE = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80 } as const;
const MAP_MODE_READ = 0x1;

const STORAGE = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;

/** The buffers of a session and the programs bound to them. */
export class Memory {
  readonly ledger: Ledger;
  private readonly device: Device;
  private readonly leaves = new Map<string, { buffer: GPUBuffer; offset: number }>();
  private readonly programs = new Map<string, Promise<Program>>();
  private slots: GPUBuffer[] = [];
  private uniforms!: GPUBuffer;
  private readback!: GPUBuffer;

  private constructor(
    private readonly runtime: Runtime,
    private readonly plan: ProgramsPlan,
    shared?: Memory,
  ) {
    this.device = runtime.device;
    this.ledger = new Ledger(this.device.gpu);
    if (shared) this.leaves = new Map(shared.leaves);
  }

  /**
   * Allocates everything or throws `out-of-memory` with nothing left behind. Leaves that `shared` holds are used, not
   * made again, and stay its own.
   */
  static async allocate(
    runtime: Runtime,
    plan: ProgramsPlan,
    buffers: readonly LeafBuffer[],
    readbackBytes: number,
    shared?: Memory,
  ): Promise<Memory> {
    refuseOversized(runtime.device, plan, buffers);
    const memory = new Memory(runtime, plan, shared);
    try {
      await allocating(runtime.device, () => memory.createBuffers(buffers, readbackBytes));
    } catch (error) {
      memory.ledger.destroyAll();
      throw error;
    }
    return memory;
  }

  private createBuffers(buffers: readonly LeafBuffer[], readbackBytes: number): void {
    for (const { label, kind, bytes, ranges } of buffers) {
      const buffer = this.ledger.create(kind, bytes, STORAGE, label);
      for (const [name, offset] of ranges) this.leaves.set(name, { buffer, offset });
    }
    this.slots = this.plan.slots.map((slot, i) => this.ledger.create(slot.kind, slot.bytes, STORAGE, `slot ${i}`));
    const uniformUsage = USAGE.UNIFORM | USAGE.COPY_DST;
    this.uniforms = this.ledger.create(
      'workspace',
      Math.max(UNIFORM_ALIGNMENT, this.plan.uniformBytes),
      uniformUsage,
      'uniforms',
    );
    const readbackUsage = USAGE.MAP_READ | USAGE.COPY_DST;
    this.readback = this.ledger.create('workspace', readbackBytes, readbackUsage, 'read-back');
  }

  binding(operand: Operand): Required<GPUBufferBinding> {
    if ('tensor' in operand) {
      const { buffer, offset, size } = this.binding(operand.tensor);
      const { offset: start } = operand;
      return { buffer, offset: offset + start, size: Math.min(byteSize(operand), size - start) };
    }
    const size = byteSize(operand);
    if (!operand.leaf) return { buffer: this.slots[this.plan.slotOf.get(operand)!]!, offset: 0, size };
    return { ...this.leaf(operand.leaf.name), size };
  }

  /** Whether a program of the plan has this leaf. */
  holds(name: string): boolean {
    return this.leaves.has(name);
  }

  private leaf(name: string): { buffer: GPUBuffer; offset: number } {
    const place = this.leaves.get(name);
    if (!place) throw new Error(`no buffer holds the leaf ${name}`);
    return place;
  }

  /** Writes a leaf from `start` (bytes, whole words); `data` is padded to whole words. */
  write(name: string, data: Uint8Array | Uint32Array | Int32Array | Float32Array, start = 0): void {
    const { buffer, offset } = this.leaf(name);
    let bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (bytes.byteLength % 4 !== 0) {
      const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
      padded.set(bytes);
      bytes = padded;
    }
    this.device.gpu.queue.writeBuffer(buffer, offset + start, bytes as Uint8Array<ArrayBuffer>);
  }

  /** Sets whole leaf buffers to zero. */
  clear(names: readonly string[]): void {
    const encoder = this.device.gpu.createCommandEncoder();
    for (const name of names) encoder.clearBuffer(this.leaf(name).buffer);
    this.device.gpu.queue.submit([encoder.finish()]);
  }

  /** The program of that name, built on first use. */
  program(name: string): Promise<Program> {
    let program = this.programs.get(name);
    if (!program) {
      const planned = this.plan.programs.find((candidate) => candidate.name === name);
      if (!planned) throw new Error(`no program ${name}`);
      const bindingOf = (operand: Operand) => this.binding(operand);
      program = Program.build(this.runtime, planned, this.uniforms, bindingOf);
      this.programs.set(name, program);
    }
    return program;
  }

  /** Builds every program. `report` hears how many kernels are compiled, of all that the programs have. */
  async compile(report: (kernels: number, totalKernels: number) => void = () => undefined): Promise<void> {
    const { programs } = this.plan;
    const { choices, pipelines } = this.runtime;
    const kernels = programs.flatMap((program) => program.kernels.map((kernel) => choices.of(kernel)));
    const compiling = new Set(kernels.map((kernel) => pipelines.get(kernel))); // programs share most of them
    let compiled = 0;
    report(0, compiling.size);
    for (const pipeline of compiling) {
      const count = () => report(++compiled, compiling.size);
      pipeline.then(count, () => undefined); // a program that needs it says what went wrong
    }
    await Promise.all(programs.map(({ name }) => this.program(name)));
  }

  /**
   * Runs a program and reads tensors back through the session's staging buffer, one after the other, as f32. `rows`: see
   * `Program.run`.
   */
  async runAndRead(name: string, tensors: readonly Tensor[], rows?: number): Promise<Float32Array[]> {
    const program = await this.program(name);
    const offsets: number[] = [];
    let bytes = 0;
    for (const tensor of tensors) {
      offsets.push(bytes);
      bytes += byteSize(tensor);
    }
    const copy = (encoder: GPUCommandEncoder) => {
      tensors.forEach((tensor, i) => {
        const { buffer, offset, size } = this.binding(tensor);
        encoder.copyBufferToBuffer(buffer, offset, this.readback, offsets[i]!, size);
      });
    };
    await program.run(copy, undefined, rows);
    await this.device.wait(this.readback.mapAsync(MAP_MODE_READ, 0, bytes));
    const values = new Float32Array(this.readback.getMappedRange(0, bytes).slice(0));
    this.readback.unmap();
    return tensors.map((tensor, i) => values.subarray(offsets[i]! / 4, offsets[i]! / 4 + elementCount(tensor.shape)));
  }

  async run(name: string, rows?: number): Promise<void> {
    await (await this.program(name)).run(undefined, undefined, rows);
  }

  /** Reads `count` f32 from the start of a leaf. */
  async read(name: string, count: number): Promise<Float32Array> {
    return new Float32Array((await this.readBytes(name, 4 * count)).buffer);
  }

  /** Reads `bytes` of a leaf from `start` (bytes, whole words) on. */
  async readBytes(name: string, bytes: number, start = 0): Promise<Uint8Array<ArrayBuffer>> {
    const values = new Uint8Array(bytes);
    let done = 0;
    for await (const piece of this.readPieces(name, bytes, start)) {
      values.set(piece, done);
      done += piece.byteLength;
    }
    return values;
  }

  /** The same piece by piece, as the session's staging buffer holds them; from `start` (bytes, whole words) on. */
  async *readPieces(name: string, bytes: number, start = 0): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { buffer, offset: leafOffset } = this.leaf(name);
    const offset = leafOffset + start;
    for (let done = 0; done < bytes; done += this.readback.size) {
      const piece = Math.min(this.readback.size, bytes - done);
      const words = Math.ceil(piece / 4) * 4;
      const encoder = this.device.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset + done, this.readback, 0, words);
      this.device.gpu.queue.submit([encoder.finish()]);
      await this.device.wait(this.readback.mapAsync(MAP_MODE_READ, 0, words));
      const values = new Uint8Array(this.readback.getMappedRange(0, words).slice(0, piece));
      this.readback.unmap();
      yield values;
    }
  }

  /** Waits until everything written has reached the GPU: what is on its way there takes memory too. */
  async settle(): Promise<void> {
    await this.device.wait(this.device.gpu.queue.onSubmittedWorkDone());
  }

  destroy(): void {
    this.ledger.destroyAll();
  }
}

/** What can't be cut into parts must fit a binding. */
function refuseOversized(device: Device, plan: ProgramsPlan, buffers: readonly LeafBuffer[]): void {
  const limit = Math.min(device.info.maxBufferBytes, device.info.maxBindingBytes);
  const refuse = (what: string, bytes: number, instead: string) => {
    if (bytes <= limit) return;
    const sizes = `${bytes.toLocaleString('en')} bytes in one buffer, and this device allows ${limit.toLocaleString('en')}`;
    throw new GraftError('out-of-memory', `${what} takes ${sizes}: ${instead}.`);
  };
  for (const { label, kind, bytes } of buffers) {
    if (kind === 'workspace') refuse(`The context (${label})`, bytes, 'allow a shorter one, or fewer at once');
    else refuse(label, bytes, 'keep the weights in 16 or 4 bits (dtype, load_in_4bit), or take a smaller model');
  }
  const largest = Math.max(0, ...plan.slots.map(({ bytes }) => bytes));
  const fewer = 'take fewer or shorter rows at once (per_device_train_batch_size, max_length), or set mlp_chunk_size';
  refuse('The largest activation of this run', largest, fewer);
}
