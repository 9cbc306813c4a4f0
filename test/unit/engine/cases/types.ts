/** A case of an op: inputs, the graph under test, and its plain-loop reference. */
import { elementCount, fromFloat32, toFloat32, type WeightDType } from '../../../../src/core/dtypes';
import { dequantized } from '../../../../src/core/quantization';
import { Random } from '../../../../src/core/rng';
import type { Graph, Tensor } from '../../../../src/engine/graph/graph';
import { isQuantized } from '../../../../src/engine/graph/tensor';
import { quantize } from '../../../reference/quantization';
import type { Values } from '../../../reference/values';
import type { LeafInput } from '../../../support/graph-runner';

export interface OpCase<K extends string = string> {
  readonly name: string;
  /** Leaves by name. The trainable ones are those that `backward` differentiates by. */
  readonly inputs: Readonly<Record<K, LeafInput>>;
  /** Applies the op. The first result is the one that is differentiated; a result may be a leaf that the op writes. */
  build(graph: Graph, leaves: Record<K, Tensor>): readonly Tensor[];
  /** The reference values of the results. */
  forward(values: Record<K, Values>): readonly Values[];
  /** The reference gradient of every trainable input; absent for ops that are not differentiated. */
  backward?: ((values: Record<K, Values>, dy: Values) => Readonly<Partial<Record<K, Values>>>) | undefined;
}

/** Checks a case's names where it is written; lists of cases forget them. */
export function opCase<K extends string>(definition: OpCase<K>): OpCase {
  return definition;
}

let stream = 0;

/** Normal values, scaled, rounded or quantised to `dtype`; other values for every tensor of a suite, the same in every run. */
export function normal(shape: readonly number[], scale = 1, dtype: WeightDType = 'f32'): LeafInput {
  const random = new Random(2, stream++);
  const values = Float32Array.from({ length: elementCount(shape) }, () => scale * random.normal());
  if (!isQuantized(dtype)) return { shape, dtype, values: toFloat32(fromFloat32(values, dtype), dtype) };
  const words = quantize(values, dtype, shape);
  return { shape, dtype, values: dequantized(words, dtype, shape), words };
}

export function trainable(input: LeafInput): LeafInput {
  return { ...input, trainable: true };
}

/** Integers in [0, below). */
export function integers(count: number, below: number, dtype: 'u32' | 'i32' = 'u32'): LeafInput {
  const random = new Random(3, stream++);
  return { shape: [count], dtype, values: Array.from({ length: count }, () => random.uint32() % below) };
}

export function given(
  values: readonly number[],
  dtype: 'u32' | 'i32' | 'f32' = 'u32',
  shape = [values.length],
): LeafInput {
  return { shape, dtype, values: dtype === 'f32' ? Float32Array.from(values) : values };
}

/** The rows of N that have a target among their `perRow`, in order, and past their count the largest u32. */
export function rowsWithTargets(targets: readonly number[], perRow = 1): LeafInput {
  const count = targets.length / perRow;
  const isWanted = (row: number) => targets.slice(row * perRow, (row + 1) * perRow).some((target) => target >= 0);
  const rows = Array.from({ length: count }, (_, row) => row).filter(isWanted);
  return given([...rows, ...Array<number>(count - rows.length).fill(2 ** 32 - 1)]);
}
