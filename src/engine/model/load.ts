/** What every session begins with: base weights in their leaves, quantised on the way, or put back as they were kept. */
import { BYTES_PER_ELEMENT, elementCount, type QuantizedDType, type WeightDType } from '../../core/dtypes';
import { GraftError, VerificationError } from '../../core/errors';
import { nestScales, quantizedLayout, storedBytes } from '../../core/quantization';
import { parameters, type ParameterSpec } from '../../core/spec';
import type { KeepParameter, LoadStream, StoredSlice, WeightSlice } from '../../core/weights';
import type { Device } from '../runtime/device';
import type { Memory } from '../runtime/memory';
import { QUANTIZE_UNIT } from '../ops/quantize';
import { rowsByPart, type PartRows } from '../compile/parts';
import { isQuantized } from '../graph/tensor';
import { Arrivals, converted } from '../runtime/upload';
import type { ModelOptions } from './leaves';
import { chunkElements, quantizeProgram, QUANTIZE_LEAF, storedDTypes, storedParts } from './weights';

/** Bytes that may be on their way to the GPU at once: until it has them, they take memory a second time. */
const IN_FLIGHT_BYTES = 64 * 2 ** 20;

/**
 * Loads what the stream brings; `keep` is given every parameter that was not kept before.
 * @throws `bad-file` where the stream is not this model's weights, `device-lost` where the device goes away
 */
export async function loadModel(
  device: Device,
  memory: Memory,
  model: ModelOptions,
  weights: LoadStream,
  keep?: KeepParameter,
): Promise<void> {
  const loader = new Loader(memory, model);
  for await (const slice of weights) {
    device.assertAlive();
    if ('stored' in slice) await loader.restore(slice);
    else if ((await loader.add(slice)) && keep) await keep(slice.name, loader.leavesOf(slice.name));
  }
  loader.end();
}

/** A leaf of a parameter, and how many bytes it has been given of what was kept of it. */
interface Leaf extends ParameterSpec {
  readonly parameter: string;
  readonly dtype: WeightDType;
  readonly bytes: number;
  restored: number;
}

class Loader {
  private readonly parts: ReadonlyMap<string, readonly ParameterSpec[]>;
  private readonly leaves: ReadonlyMap<string, Leaf>;
  private readonly arrivals: Arrivals;
  private readonly chunk: number;
  private inFlight = 0;

  constructor(
    private readonly memory: Memory,
    private readonly model: ModelOptions,
  ) {
    const dtypes = storedDTypes(model);
    this.parts = storedParts(model);
    this.chunk = chunkElements(model);
    this.arrivals = new Arrivals(parameters(model.spec));
    const leaves = [...this.parts].flatMap(([parameter, parts]) =>
      parts.map(({ name, shape }): Leaf => {
        const dtype = dtypes.get(parameter)!;
        return { parameter, name, shape, dtype, bytes: storedBytes(dtype, shape), restored: 0 };
      }),
    );
    this.leaves = new Map(leaves.map((leaf) => [leaf.name, leaf]));
  }

  /** Whether the parameter is complete with this slice. */
  async add(slice: WeightSlice): Promise<boolean> {
    const complete = this.arrivals.add(slice);
    for (const rows of rowsByPart(slice, this.parts.get(slice.name)!)) {
      const leaf = this.leaves.get(rows.part.name)!;
      if (isQuantized(leaf.dtype)) await this.quantize(leaf, leaf.dtype, slice, rows);
      else await this.write(leaf, slice, rows);
    }
    return complete;
  }

  /** Throws `bad-file` where what was kept is of another model, or of another type. */
  async restore({ name, stored, shape, start, bytes }: StoredSlice): Promise<void> {
    const leaf = this.leaves.get(name);
    const fits =
      leaf &&
      this.arrivals.awaits(leaf.parameter) &&
      leaf.dtype === stored &&
      leaf.shape.join() === shape.join() &&
      (start === leaf.restored || start === 0) &&
      start + bytes.byteLength <= leaf.bytes;
    if (!fits) {
      throw new VerificationError(
        `What was kept of ${name} is not what this session stores. Nothing of it is kept any more: load the model again.`,
      );
    }
    this.memory.write(name, bytes, start);
    leaf.restored = start + bytes.byteLength;
    await this.settle(bytes.byteLength);
    const leaves = this.parts.get(leaf.parameter)!.map((part) => this.leaves.get(part.name)!);
    if (leaves.every(({ restored, bytes: all }) => restored === all)) this.arrivals.done(leaf.parameter);
  }

  /** Throws `bad-file` where something is missing. */
  end(): void {
    this.arrivals.end();
  }

  async *leavesOf(parameter: string): AsyncGenerator<StoredSlice> {
    for (const { name } of this.parts.get(parameter)!) {
      const { shape, dtype: stored, bytes: all } = this.leaves.get(name)!;
      let start = 0;
      for await (const bytes of this.memory.readPieces(name, all)) {
        yield { name, stored, shape, start, bytes };
        start += bytes.byteLength;
      }
    }
  }

  private async write({ name, shape, dtype }: Leaf, slice: WeightSlice, { firstRow, bytes }: PartRows): Promise<void> {
    if (isQuantized(dtype)) throw new Error(`${name} is quantised`);
    const data = converted({ ...slice, bytes }, dtype);
    this.memory.write(name, data, firstRow * BYTES_PER_ELEMENT[dtype] * elementCount(shape.slice(1)));
    await this.settle(data.byteLength);
  }

  /** Quantises rows chunk by chunk: the queue keeps the order, so one staging leaf serves all chunks. */
  private async quantize(
    leaf: Leaf,
    dtype: QuantizedDType,
    slice: WeightSlice,
    { firstRow, bytes }: PartRows,
  ): Promise<void> {
    const { memory, chunk } = this;
    const elementBytes = BYTES_PER_ELEMENT[slice.dtype];
    const first = firstRow * elementCount(leaf.shape.slice(1));
    const count = bytes.byteLength / elementBytes;
    for (let start = 0; start < count; start += chunk) {
      const elements = Math.min(chunk, count - start);
      const piece = bytes.subarray(start * elementBytes, (start + elements) * elementBytes);
      const data = converted({ ...slice, bytes: piece }, this.model.weightDType);
      memory.write(QUANTIZE_LEAF.source, data);
      memory.write(QUANTIZE_LEAF.chunk, Uint32Array.of((first + start) / QUANTIZE_UNIT, elements / QUANTIZE_UNIT));
      await memory.run(quantizeProgram(leaf.name));
      await this.settle(data.byteLength);
    }
    if (dtype === 'nf4_nested' && first + count === elementCount(leaf.shape)) await this.nestScales(leaf);
  }

  /** Quantises the scales of a leaf, once all of its rows are. */
  private async nestScales({ name, shape }: Leaf): Promise<void> {
    const { blocks, scales } = quantizedLayout('nf4_nested', shape);
    const maxima = await this.memory.read(QUANTIZE_LEAF.scales, blocks);
    if (!maxima.every(Number.isFinite)) {
      throw new GraftError('bad-file', `The tensor ${name} holds a value that is not finite: it can't be quantised.`);
    }
    this.memory.write(name, nestScales(maxima), 4 * scales);
  }

  private async settle(bytes: number): Promise<void> {
    this.inFlight += bytes;
    if (this.inFlight < IN_FLIGHT_BYTES) return;
    this.inFlight = 0;
    await this.memory.settle();
  }
}
