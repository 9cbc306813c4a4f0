/** What every session begins with: base weights in their leaves, and the rotary tables. */
import { parameters } from '../../core/spec';
import type { WeightStream } from '../../core/weights';
import type { Device } from '../device';
import type { Memory } from '../memory';
import { converted, uploadWeights } from '../upload';
import { LEAF, storedDType, type ModelOptions } from './graphs';
import { rotaryTables } from './rotary';

/** Throws `bad-file` where the stream is not this model's weights, `device-lost` where the device goes away. */
export async function loadModel(
  device: Device,
  memory: Memory,
  model: ModelOptions,
  weights: WeightStream,
): Promise<void> {
  const { spec, positions } = model;
  await uploadWeights(weights, parameters(spec), (tensor) => {
    device.assertAlive();
    memory.write(tensor.name, converted(tensor, storedDType(model, tensor.shape)));
  });
  const { cos, sin } = rotaryTables(spec.rope, spec.headDim, positions);
  memory.write(LEAF.cos, cos);
  memory.write(LEAF.sin, sin);
}
