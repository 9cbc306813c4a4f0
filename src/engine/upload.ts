/** Weights from their stream into their leaves, tensor by tensor: checked by name and shape, converted where needed. */
import { elementCount, fromFloat32, toFloat32, type FloatDType } from '../core/dtypes';
import { GraftError } from '../core/errors';
import type { ParameterSpec } from '../core/spec';
import type { StateTensor, WeightStream, WeightTensor } from '../core/weights';

/** Bytes of a tensor in another element type; the same bytes where the types agree. */
export function converted(tensor: WeightTensor, dtype: FloatDType): Uint8Array {
  return tensor.dtype === dtype ? tensor.bytes : fromFloat32(toFloat32(tensor.bytes, tensor.dtype), dtype);
}

/**
 * Calls `write` with every expected tensor once. Throws `bad-file` for a tensor that is unknown, comes twice, has
 * another shape, or is missing.
 */
export async function uploadWeights(
  stream: WeightStream,
  expected: readonly ParameterSpec[],
  write: (tensor: WeightTensor) => void | Promise<void>,
): Promise<void> {
  const missing = new Map(expected.map((parameter) => [parameter.name, parameter]));
  for await (const tensor of stream) {
    checkTensor(tensor, missing);
    missing.delete(tensor.name);
    await write(tensor);
  }
  refuseMissing(missing);
}

/** The same for tensors already in memory. */
export function checkTensors(tensors: readonly StateTensor[], expected: readonly ParameterSpec[]): void {
  const missing = new Map(expected.map((parameter) => [parameter.name, parameter]));
  for (const tensor of tensors) {
    checkTensor(tensor, missing);
    missing.delete(tensor.name);
  }
  refuseMissing(missing);
}

function checkTensor(tensor: StateTensor, missing: ReadonlyMap<string, ParameterSpec>): void {
  const parameter = missing.get(tensor.name);
  if (!parameter)
    throw new GraftError('bad-file', `The tensor ${tensor.name} does not belong to this model, or comes twice.`);
  if (elementCount(parameter.shape) !== elementCount(tensor.shape) || parameter.shape.join() !== tensor.shape.join()) {
    throw new GraftError(
      'bad-file',
      `The tensor ${tensor.name} has shape [${tensor.shape.join(', ')}], and the model needs [${parameter.shape.join(', ')}].`,
    );
  }
}

function refuseMissing(missing: ReadonlyMap<string, ParameterSpec>): void {
  const [first] = missing.keys();
  if (first === undefined) return;
  throw new GraftError(
    'bad-file',
    `${missing.size} tensors are missing, the first is ${first}: use the folder that the whole model is in.`,
  );
}

/** Throws `bad-data` for an id that the embedding table has no row for: a shader would read past its end. */
export function refuseUnknownIds(ids: Uint32Array | Int32Array, vocabSize: number): void {
  for (const id of ids) {
    if (id >= 0 && id < vocabSize) continue;
    throw new GraftError(
      'bad-data',
      `The token id ${id} is outside the model's vocabulary of ${vocabSize}: use the tokenizer that belongs to the model.`,
    );
  }
}
