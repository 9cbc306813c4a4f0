/** What every session begins with: base weights in their leaves, quantised on the way, and the rotary tables. */
import { BYTES_PER_ELEMENT, elementCount, type FloatDType, type QuantizedDType } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { nestScales, quantizedLayout } from '../../core/quantization';
import { parameters } from '../../core/spec';
import type { WeightStream, WeightTensor } from '../../core/weights';
import type { Device } from '../device';
import type { Memory } from '../memory';
import { QUANTIZE_UNIT } from '../ops/quantize';
import { splitParts } from '../parts';
import { isQuantized } from '../tensor';
import { converted, uploadWeights } from '../upload';
import { rotaryLeaf, type ModelOptions } from './graphs';
import { isLong, ropeKinds, rotaryTables } from './rotary';
import { chunkElements, quantizeProgram, QUANTIZE_LEAF, storedDTypes, storedParts } from './weights';

/** Throws `bad-file` where the stream is not this model's weights, `device-lost` where the device goes away. */
export async function loadModel(
  device: Device,
  memory: Memory,
  model: ModelOptions,
  weights: WeightStream,
): Promise<void> {
  const { spec } = model;
  const dtypes = storedDTypes(model);
  const parts = storedParts(model);
  const elements = chunkElements(model);
  await uploadWeights(weights, parameters(spec), async (tensor) => {
    device.assertAlive();
    const dtype = dtypes.get(tensor.name)!;
    for (const part of splitParts(tensor, parts.get(tensor.name)!)) {
      if (isQuantized(dtype)) await quantizeTensor(memory, part, dtype, model.weightDType, elements);
      else memory.write(part.name, converted(part, dtype));
    }
  });
}

/** The rotary tables of a session, which differ for long sequences where the model has LongRoPE. */
export class RotaryLeaves {
  private length = 0;

  constructor(
    private readonly memory: Memory,
    private readonly model: ModelOptions,
  ) {
    this.write();
  }

  /** Makes the tables those of sequences of which the longest has that many tokens, for the programs that run next. */
  useFor(length: number): void {
    const { spec } = this.model;
    const same = isLong(spec, length) === isLong(spec, this.length);
    this.length = length;
    if (!same) this.write();
  }

  private write(): void {
    const { spec, positions } = this.model;
    for (const kind of ropeKinds(spec)) {
      const { cos, sin } = rotaryTables(spec, kind, positions, this.length);
      this.memory.write(rotaryLeaf.cos(kind), cos);
      this.memory.write(rotaryLeaf.sin(kind), sin);
    }
  }
}

/** Quantises what a leaf holds chunk by chunk: the queue keeps the order, so one staging leaf serves all chunks. */
async function quantizeTensor(
  memory: Memory,
  tensor: WeightTensor,
  dtype: QuantizedDType,
  sourceDType: FloatDType,
  chunk: number,
): Promise<void> {
  const elementBytes = BYTES_PER_ELEMENT[tensor.dtype];
  const count = elementCount(tensor.shape);
  for (let start = 0; start < count; start += chunk) {
    const elements = Math.min(chunk, count - start);
    const bytes = tensor.bytes.subarray(start * elementBytes, (start + elements) * elementBytes);
    memory.write(QUANTIZE_LEAF.source, converted({ ...tensor, bytes }, sourceDType));
    memory.write(QUANTIZE_LEAF.chunk, Uint32Array.of(start / QUANTIZE_UNIT, elements / QUANTIZE_UNIT));
    await memory.run(quantizeProgram(tensor.name));
  }
  if (dtype !== 'nf4_nested') return;
  const { blocks, scales } = quantizedLayout(dtype, tensor.shape);
  const maxima = await memory.read(QUANTIZE_LEAF.scales, blocks);
  if (!maxima.every(Number.isFinite)) {
    throw new GraftError(
      'bad-file',
      `The tensor ${tensor.name} holds a value that is not finite: it can't be quantised.`,
    );
  }
  memory.write(tensor.name, nestScales(maxima), 4 * scales);
}
