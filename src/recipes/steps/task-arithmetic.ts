/**
 * What several tensors of one shape become together: PEFT's `merge_utils.py`. Sums are kept in f64; a sum of f32 in another
 * order differs from them in the last digit.
 */
import type { Random } from '../../core/rng';

/** Of `linear`, `ties`, `dare_linear`, `dare_ties` and `magnitude_prune`, what each does. */
export interface TaskArithmetic {
  /** Which elements stay before anything is added: the largest, or each with the same chance. */
  readonly prune?: 'magnitude' | 'random' | undefined;
  /** The part of the elements that stays, from 0 to 1; all of them where absent. */
  readonly density?: number | undefined;
  /** Only elements of the sign that most have count, and their mean: by the sum of the elements or by their number. */
  readonly majority?: MajoritySign | undefined;
}

export type MajoritySign = 'total' | 'frequency';

/**
 * The weighted sum of tensors, pruned before it where that is asked, or the mean over those of the majority's sign (TIES,
 * Yadav et al. 2023, arXiv:2306.01708; DARE, Yu et al. 2023, arXiv:2311.03099).
 * @param tensors all of one length; they stay as they are
 * @param weights one of each
 */
export function combineTensors(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  { prune, density = 1, majority }: TaskArithmetic,
  random: Random,
): Float64Array {
  const kept = tensors.map((tensor) => {
    if (prune === undefined || density >= 1) return tensor;
    return prune === 'magnitude' ? keepLargest(tensor, density) : keepAtRandom(tensor, density, random);
  });
  const combined = new Float64Array(kept[0]?.length ?? 0);
  for (let i = 0; i < combined.length; i++) {
    const sign = majority && majoritySign(kept, i, majority);
    let sum = 0;
    let count = 0;
    kept.forEach((tensor, at) => {
      // An element that is 0 has neither sign.
      if (sign !== undefined && Math.sign(tensor[i]!) !== sign) return;
      sum += tensor[i]! * weights[at]!;
      count++;
    });
    combined[i] = majority ? sum / Math.max(1, count) : sum;
  }
  return combined;
}

function majoritySign(tensors: readonly Float32Array[], i: number, by: MajoritySign): number {
  let sum = 0;
  for (const tensor of tensors) sum += by === 'total' ? tensor[i]! : Math.sign(tensor[i]!);
  return sum >= 0 ? 1 : -1;
}

/** Of elements that are equal the first stay. */
function keepLargest(tensor: Float32Array, density: number): Float32Array {
  const count = Math.floor(density * tensor.length);
  const kept = new Float32Array(tensor.length);
  if (count === 0) return kept;
  const sizes = tensor.map(Math.abs);
  const least = sizes.slice().sort()[tensor.length - count]!;
  let equals = count - sizes.reduce((above, size) => above + Number(size > least), 0);
  for (let i = 0; i < tensor.length; i++) {
    if (sizes[i]! > least || (sizes[i] === least && equals-- > 0)) kept[i] = tensor[i]!;
  }
  return kept;
}

/** Those that stay are scaled up, so that the sum to expect is the same. */
function keepAtRandom(tensor: Float32Array, density: number, random: Random): Float32Array {
  return tensor.map((value) => (random.uniform() < density ? value / density : 0));
}
