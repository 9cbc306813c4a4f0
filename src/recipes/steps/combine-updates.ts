/** One linear's updates of several adapters as a single one: the combination types of PEFT's `add_weighted_adapter`. */
import { GraftError } from '../../core/errors';
import type { Random } from '../../core/rng';
import { truncateProduct, type Matrix } from './low-rank-svd';
import { combineTensors, type MajoritySign, type TaskArithmetic } from './task-arithmetic';

/** PEFT's names. Its variants that take the singular values of whole pruned updates (`ties_svd` and such) are not here. */
export const COMBINATION_TYPES = [
  ...['svd', 'cat', 'linear'],
  ...['ties', 'dare_linear', 'dare_ties', 'magnitude_prune'],
] as const;
export type CombinationType = (typeof COMBINATION_TYPES)[number];

export interface CombinationOptions {
  readonly type: CombinationType;
  /** Of `ties`, `dare_linear`, `dare_ties` and `magnitude_prune`: the part of the elements that stays, from 0 to 1. */
  readonly density?: number | undefined;
  /** Of `ties` and `dare_ties`; `total` where absent. */
  readonly majoritySign?: MajoritySign | undefined;
  /** Of `svd`: the rank of what comes out; the largest of those that go in where absent. */
  readonly svdRank?: number | undefined;
  /** Of what `dare_linear` and `dare_ties` draw; 42 where absent. */
  readonly seed?: number | undefined;
}

export const isTies = (type: CombinationType) => type === 'ties' || type === 'dare_ties';
export const isDare = (type: CombinationType) => type === 'dare_linear' || type === 'dare_ties';

/** One linear's update of one adapter: `scale` times the product of B [out, r] and A [r, in]. */
export interface Update {
  readonly adapter: string;
  readonly scale: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** @throws `bad-config` where the type needs updates of one rank */
export function combineUpdates(
  module: string,
  updates: readonly Update[],
  rank: number,
  options: CombinationOptions,
  random: Random,
): { a: Matrix; b: Matrix } {
  const { type } = options;
  if (type === 'cat') return concatenate(updates, rank);
  if (type === 'svd') {
    const { a, b } = concatenate(
      updates,
      updates.reduce((sum, update) => sum + update.rank, 0),
    );
    return truncateProduct(b, a, rank);
  }
  const odd = updates.find((update) => update.rank !== updates[0]!.rank);
  if (odd) {
    throw new GraftError(
      'bad-config',
      `${module} has rank ${updates[0]!.rank} in ${updates[0]!.adapter} and ${odd.rank} in ${odd.adapter}: ${type} takes ` +
        'adapters of one rank. Use svd or cat, which take any.',
    );
  }
  // The weight lies on both sides by its root, its sign on one.
  const roots = updates.map(({ scale }) => Math.sqrt(Math.abs(scale)));
  const signed = updates.map(({ scale }, i) => (scale < 0 ? -roots[i]! : roots[i]!));
  const arithmetic = arithmeticOf(options);
  const { rank: own, inFeatures, outFeatures } = updates[0]!;
  const a = combineTensors(updates.map((update) => update.a), signed, arithmetic, random); // prettier-ignore
  const b = combineTensors(updates.map((update) => update.b), roots, arithmetic, random); // prettier-ignore
  return {
    a: { rows: rank, columns: inFeatures, values: padded(a, rank * inFeatures) },
    b: widened({ rows: outFeatures, columns: own, values: b }, rank),
  };
}

function arithmeticOf({ type, density, majoritySign = 'total' }: CombinationOptions): TaskArithmetic {
  if (type === 'linear') return {};
  return { prune: isDare(type) ? 'random' : 'magnitude', density, majority: isTies(type) ? majoritySign : undefined };
}

/** The sum of the updates, exactly, as one of all their ranks together. */
function concatenate(updates: readonly Update[], rank: number): { a: Matrix; b: Matrix } {
  const { inFeatures, outFeatures } = updates[0]!;
  const a = new Float64Array(rank * inFeatures);
  const b = new Float64Array(outFeatures * rank);
  let at = 0;
  for (const update of updates) {
    a.set(
      Float64Array.from(update.a, (value) => value * update.scale),
      at * inFeatures,
    );
    for (let row = 0; row < outFeatures; row++)
      b.set(update.b.subarray(row * update.rank, (row + 1) * update.rank), row * rank + at);
    at += update.rank;
  }
  return { a: { rows: rank, columns: inFeatures, values: a }, b: { rows: outFeatures, columns: rank, values: b } };
}

function padded(values: Float64Array, length: number): Float64Array {
  const longer = new Float64Array(length);
  longer.set(values);
  return longer;
}

/** With columns of zeros at the end. */
function widened({ rows, columns, values }: Matrix, width: number): Matrix {
  if (columns === width) return { rows, columns, values };
  const wide = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) wide.set(values.subarray(row * columns, (row + 1) * columns), row * width);
  return { rows, columns: width, values: wide };
}
