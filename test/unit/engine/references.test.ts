/** The references' own backward formulas against central differences of their forward loops, all in f64. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/rng';
import { relativeError } from '../../support/compare';
import type { Values } from '../../reference/values';
import { caseInputs, expectedOf, opCases, type OpCase } from './cases';
import { headLossReferences } from './cases/loss';

const STEP = 1e-4;
const TOLERANCE = 1e-6;

/** Elements of each input that are moved one at a time, beside one random direction through all of them. */
const SAMPLES = 5;

/** d(dy · forward)/d(input along `direction`), by Richardson's extrapolation of two central differences. */
function derivative(
  opCase: OpCase,
  values: Record<string, Values>,
  dy: Values,
  name: string,
  direction: Values,
): number {
  const along = (step: number) => {
    const moved = Float64Array.from(values[name]!, (value, i) => value + step * direction[i]!);
    const [result] = opCase.forward({ ...values, [name]: moved });
    return Array.from(result!).reduce((sum, value, i) => sum + value * dy[i]!, 0);
  };
  const central = (step: number) => (along(step) - along(-step)) / (2 * step);
  return (4 * central(STEP / 2) - central(STEP)) / 3;
}

/** Directions to differentiate along: some unit vectors, and one that moves everything. */
function directions(count: number): Float64Array[] {
  const random = new Random(5, count);
  const picked = random.permutation(count).slice(0, SAMPLES);
  const units = picked.map((i) => Float64Array.from({ length: count }, (_, k) => (k === i ? 1 : 0)));
  const everywhere = Float64Array.from({ length: count }, () => random.normal() / Math.sqrt(count));
  return [...units, everywhere];
}

const dot = (a: Values, b: Values) => Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

/** A loop over the largest cases takes minutes, and smaller ones have the same formulas. */
const MOST_ELEMENTS = 400_000;
const isSmall = ({ inputs }: OpCase) => Object.values(inputs).every(({ values }) => values.length < MOST_ELEMENTS);

const differentiated = [...opCases, ...headLossReferences]
  .filter((opCase) => opCase.backward && isSmall(opCase))
  .flatMap((opCase) => {
    const trainable = Object.keys(opCase.inputs).filter((name) => opCase.inputs[name]!.trainable);
    return trainable.map((name) => ({ opCase, name }));
  });

describe('reference gradients equal finite differences', () => {
  it.each(differentiated)('$opCase.name by $name', ({ opCase, name }) => {
    const inputs = caseInputs(opCase);
    const values = Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, input.values]));
    const dy = values['dy']!;
    const gradient = expectedOf(opCase, inputs)[`d${name}`]!;
    const along = directions(gradient.length);
    const numeric = along.map((direction) => derivative(opCase, values, dy, name, direction));
    expect(
      relativeError(
        along.map((direction) => dot(gradient, direction)),
        numeric,
      ),
    ).toBeLessThan(TOLERANCE);
  });
});
