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
};

export interface WeightsComparison {
  /** A sentence for each difference. */
  readonly findings: readonly string[];
  /** The largest relative error, and the tensor that has it. */
  readonly worst: { readonly name: string; readonly error: number };
}

/**
 * @param expected the weights that the file should hold, whole, in any order
 * @param typeOf how the file stores a tensor, by its Hub name
 * @param factorOf what the file's tensor is multiplied with, by its Hub name
 */
export async function compareWeights(
  expected: AsyncIterable<WeightTensor>,
  exported: Pick<HubModel, 'weights' | 'dtypes'>,
  typeOf: (name: string) => string | undefined,
  factorOf: (name: string) => number = () => 1,
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
    const error = relativeError(tensor, stored, factorOf(name));
    if (error > worst.error || Number.isNaN(error)) worst = { name, error };
    const limit = LIMITS[typeOf(name) ?? 'F32'] ?? LIMITS['Q4_0']!;
    if (error <= limit) continue;
    findings.push(
      `${name} is ${formatShare(error)} off in the file; as ${typeOf(name) ?? 'F32'} it may be ${formatShare(limit)}.`,
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

function relativeError(expected: WeightTensor, stored: WeightTensor, factor: number): number {
  const own = toFloat32(expected.bytes, expected.dtype);
  const other = toFloat32(stored.bytes, stored.dtype);
  let [difference, size] = [0, 0];
  for (let i = 0; i < own.length; i++) {
    const value = own[i]! * factor;
    difference += (value - other[i]!) ** 2;
    size += value ** 2;
  }
  return size === 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
}
