/** Shape checks: a wrong shape is a programming error and says which op saw it. */
import type { TensorType } from '../graph/tensor';

/** The two extents of a matrix. */
export function matrix(op: string, tensor: TensorType): [number, number] {
  const [rows, columns] = tensor.shape;
  if (tensor.shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new Error(`${op}: expected a matrix, got [${tensor.shape.join(', ')}]`);
  }
  return [rows, columns];
}

export function sameShape(op: string, a: TensorType, b: TensorType): void {
  if (a.shape.join() !== b.shape.join()) {
    throw new Error(`${op}: [${a.shape.join(', ')}] and [${b.shape.join(', ')}] differ`);
  }
}

export function expectShape(op: string, tensor: TensorType, shape: readonly number[]): void {
  if (tensor.shape.join() !== shape.join()) {
    throw new Error(`${op}: expected [${shape.join(', ')}], got [${tensor.shape.join(', ')}]`);
  }
}
