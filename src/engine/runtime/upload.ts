/** What comes into a session from outside, checked by name and shape and converted where needed. */
import { BYTES_PER_ELEMENT, elementCount, fromFloat32, toFloat32, type FloatDType } from '../../core/dtypes';
import { GraftError, VerificationError } from '../../core/errors';
import type { ParameterSpec } from '../../core/spec';
import type { StateTensor, WeightSlice, WeightTensor } from '../../core/weights';

/** Bytes of a tensor in another element type; the same bytes where the types agree. */
export function converted(tensor: WeightTensor, dtype: FloatDType): Uint8Array {
  return tensor.dtype === dtype ? tensor.bytes : fromFloat32(toFloat32(tensor.bytes, tensor.dtype), dtype);
}

/** The parameters that a session waits for: each comes once and whole, its rows in order. */
export class Arrivals {
  private readonly missing: Map<string, ParameterSpec>;
  /** The tensor that came in part. */
  private begun: { readonly name: string; rows: number } | undefined;

  constructor(expected: readonly ParameterSpec[]) {
    this.missing = new Map(expected.map((parameter) => [parameter.name, parameter]));
  }

  /**
   * Whether the slice is its tensor's last. Throws `bad-file` for a tensor that is unknown, comes twice, has another
   * shape, or comes out of order.
   */
  add(slice: WeightSlice): boolean {
    const { name, dtype, shape, firstRow = 0, bytes } = slice;
    checkTensor(slice, this.missing);
    const [rows = 1, ...rest] = shape;
    const came = bytes.byteLength / (BYTES_PER_ELEMENT[dtype] * elementCount(rest));
    const expected = this.begun?.name === name ? this.begun.rows : 0;
    if (firstRow !== expected || (this.begun && this.begun.name !== name) || firstRow + came > rows || came % 1 !== 0) {
      throw new GraftError(
        'bad-file',
        `Rows of the tensor ${name} are missing or come out of order: use the folder that the whole model is in.`,
      );
    }
    if (firstRow + came < rows) {
      this.begun = { name, rows: firstRow + came };
      return false;
    }
    this.done(name);
    return true;
  }

  /** Whether the parameter is still to come. */
  awaits(name: string): boolean {
    return this.missing.has(name);
  }

  done(name: string): void {
    this.begun = undefined;
    this.missing.delete(name);
  }

  /** Throws `bad-file` where something is missing. */
  end(): void {
    refuseMissing(this.missing);
  }
}

/** Throws `bad-file` where these are not the expected tensors, each once. */
export function checkTensors(tensors: readonly Omit<StateTensor, 'bytes'>[], expected: readonly ParameterSpec[]): void {
  const missing = new Map(expected.map((parameter) => [parameter.name, parameter]));
  for (const tensor of tensors) {
    checkTensor(tensor, missing);
    missing.delete(tensor.name);
  }
  refuseMissing(missing);
}

function checkTensor(tensor: Omit<StateTensor, 'bytes'>, missing: ReadonlyMap<string, ParameterSpec>): void {
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
  throw new VerificationError(
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
