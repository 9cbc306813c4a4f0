/** Gradients as they leave a session. */
import type { ParameterSpec } from '../../core/spec';
import type { WeightTensor } from '../../core/weights';
import { gradientLeaf } from '../compile/groups';
import { joinParts } from '../compile/parts';
import { byteSize } from '../graph/tensor';
import type { Memory } from '../runtime/memory';

/** Those of some parameters, given part by part; the tensors are whole, f32. */
export async function readGradients(memory: Memory, parameters: readonly ParameterSpec[]): Promise<WeightTensor[]> {
  const read: WeightTensor[] = [];
  for (const { name, shape } of parameters) {
    const bytes = await memory.readBytes(gradientLeaf(name), byteSize({ shape, dtype: 'f32' }));
    const size = shape.reduce((product, extent) => product * extent, 4);
    read.push({ name, dtype: 'f32', shape, bytes: bytes.subarray(0, size) });
  }
  return joinParts(read);
}
