/** Whether an exported file holds the weights that it should, tensor by tensor. */
import { toFloat32 } from '../../core/dtypes';
import { formatShare, quote } from '../../core/format';
import { wholeTensors, type WeightTensor } from '../../core/weights';
import type { HubModel } from '../../formats/model';

/**
 * The largest error by how a tensor is stored: root mean square over that of the values themselves. Several times what
 * rounding leaves of weights as models have them, and a fraction of what a tensor in the wrong place or order gives.
 */
const LIMITS: Readonly<Record<string, number>> = {
  F32: 1e-6,
  F16: 2e-3,
  BF16: 8e-3,
  Q8_0: 0.04,
  Q6_K: 0.08,
  Q5_K: 0.15,
  Q5_1: 0.15,
  Q5_0: 0.2,
  Q4_K: 0.25,
  Q4_0: 0.3,
  // What these leave of the values is for the outputs' sake: others may be further off, and outputs nearer.
  AWQ: 0.5,
  GPTQ: 0.6,
};

/**
 * The largest error that all values of a tensor have in common, as a part of their size: rounding goes either way, and a
 * zero point that is one off moves all by a quarter or more.
 */
const LARGEST_SHIFT = 0.1;
const CENTRED: ReadonlySet<string> = new Set(['AWQ', 'GPTQ']);

/** What a tensor of a file should hold. */
export interface Expected {
  readonly values: Float32Array;
  /** How far off it may be where that is known no better, however it is stored. */
  readonly leeway?: number;
}

export interface WeightsComparison {
  /** A sentence for each difference. */
  readonly findings: readonly string[];
  /** The largest relative error, and the tensor that has it. */
  readonly worst: { readonly name: string; readonly error: number };
}

/**
 * @param expected the weights that the file should hold, whole, in any order
 * @param typeOf how the file stores a tensor, by its Hub name
 * @param expectedOf what the file's tensor should hold, where that isn't the model's own
 */
export async function compareWeights(
  expected: AsyncIterable<WeightTensor>,
  exported: Pick<HubModel, 'weights' | 'dtypes'>,
  typeOf: (name: string) => string | undefined,
  expectedOf: (tensor: WeightTensor) => Promise<Expected> | Expected = ({ bytes, dtype }) => ({
    values: toFloat32(bytes, dtype),
  }),
): Promise<WeightsComparison> {
  const findings: string[] = [];
  let worst = { name: '', error: 0 };
  const missing: string[] = [];
  for await (const tensor of expected) {
    const { name } = tensor;
    if (!exported.dtypes.has(name)) {
      missing.push(name);
      continue;
    }
    const stored = await readOne(exported, name);
    const { values, leeway = 0 } = await expectedOf(tensor);
    const { error, shift } = differenceOf(values, stored);
    if (error > worst.error || Number.isNaN(error)) worst = { name, error };
    const type = typeOf(name) ?? 'F32';
    const limit = Math.max(leeway, LIMITS[type] ?? LIMITS['Q4_0']!);
    if (!(error <= limit))
      findings.push(`${name} is ${formatShare(error)} off in the file; as ${type} it may be ${formatShare(limit)}.`);
    else if (CENTRED.has(type) && shift > LARGEST_SHIFT)
      findings.push(
        `All values of ${name} are ${formatShare(shift)} off in one direction in the file: its zero points are others.`,
      );
  }
  if (missing.length > 0) findings.push(`The file lacks ${missing.slice(0, 3).map(quote).join(', ')}.`);
  return { findings: findings.slice(0, MOST_FINDINGS), worst };
}

/** Where many tensors are wrong, a few tell as much. */
const MOST_FINDINGS = 8;

async function readOne(exported: Pick<HubModel, 'weights'>, name: string): Promise<WeightTensor> {
  for await (const tensor of wholeTensors(exported.weights({ names: new Set([name]) }))) return tensor;
  throw new Error(`${name} is not in the file`);
}

/** Root mean square, and mean, of the differences, as parts of the root mean square of what is expected. */
function differenceOf(expected: Float32Array, stored: WeightTensor): { error: number; shift: number } {
  const other = toFloat32(stored.bytes, stored.dtype);
  let [difference, sum, size] = [0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    const apart = expected[i]! - other[i]!;
    difference += apart ** 2;
    sum += apart;
    size += expected[i]! ** 2;
  }
  const scale = size === 0 ? 1 : size;
  return { error: Math.sqrt(difference / scale), shift: Math.abs(sum) / Math.sqrt(scale * expected.length) };
}
