/** Random graphs for property tests: chains and fan-outs of the decoder's ops on a few shapes. */
import fc from 'fast-check';
import { Random } from '../../src/core/rng';
import type { Graph, Tensor } from '../../src/engine/graph/graph';
import { add } from '../../src/engine/ops/add';
import { addBias } from '../../src/engine/ops/bias';
import { dropout } from '../../src/engine/ops/dropout';
import { linear } from '../../src/engine/ops/matmul';
import { rmsNorm } from '../../src/engine/ops/rms_norm';
import { swiglu } from '../../src/engine/ops/glu';
import type { LeafInput } from './graph-runner';

const ROWS = 5;
const WIDTHS = [12, 20, 33];

/** One op: which, and on which of the values so far (counted back from the last). */
export interface Step {
  readonly op: 'add' | 'swiglu' | 'rmsNorm' | 'linear' | 'linearAdd' | 'bias' | 'dropout';
  readonly first: number;
  readonly second: number;
  /** Index of the width that a linear goes to. */
  readonly width: number;
  /** Whether the step starts a new checkpoint segment. */
  readonly cut: boolean;
}

const steps = fc.record<Step>({
  op: fc.constantFrom('add', 'swiglu', 'rmsNorm', 'linear', 'linearAdd', 'bias', 'dropout'),
  first: fc.nat(3),
  second: fc.nat(5),
  width: fc.nat(WIDTHS.length - 1),
  cut: fc.boolean(),
});

export const recipes: fc.Arbitrary<Step[]> = fc.array(steps, { minLength: 1, maxLength: 14 });

/** All leaves that a recipe may use; a third of the weights is frozen. */
export function recipeInputs(): Record<string, LeafInput> {
  const inputs: Record<string, LeafInput> = { seed: { shape: [1], dtype: 'u32', values: [7] } };
  const leaf = (name: string, shape: number[], scale: number, trainable: boolean) => {
    const random = new Random(11, Object.keys(inputs).length);
    const count = shape.reduce((a, b) => a * b, 1);
    inputs[name] = {
      shape,
      dtype: 'f32',
      values: Float32Array.from({ length: count }, () => scale * random.normal()),
      trainable,
    };
  };
  leaf('x', [ROWS, WIDTHS[0]!], 1, true);
  WIDTHS.forEach((width, i) => {
    leaf(`norm${width}`, [width], 1, i !== 1);
    leaf(`bias${width}`, [width], 1, i !== 2);
    leaf(`dy${width}`, [ROWS, width], 1, false);
    WIDTHS.forEach((other, k) => leaf(`w${width}x${other}`, [width, other], 0.3, (i + k) % 3 !== 0));
  });
  return inputs;
}

/** Segments around the steps of a recipe: none, runs of steps, or runs within runs. */
export type Segments = 'none' | 'flat' | 'nested';

/** Applies a recipe and returns every value, in order. */
export function applyRecipe(
  graph: Graph,
  leaves: Record<string, Tensor>,
  recipe: readonly Step[],
  segments: Segments,
): Tensor[] {
  const values: Tensor[] = [leaves['x']!];
  const apply = (step: Step) => values.push(applyStep(graph, leaves, values, step));
  const runs: Step[][] = [];
  for (const step of recipe) {
    if (step.cut || runs.length === 0) runs.push([]);
    runs.at(-1)!.push(step);
  }
  const inner = (run: Step[]) =>
    segments === 'none' ? run.forEach(apply) : graph.checkpoint(() => run.forEach(apply));
  while (runs.length > 0) {
    const several = runs.splice(0, 2);
    if (segments === 'nested') graph.checkpoint(() => several.forEach(inner));
    else several.forEach(inner);
  }
  return values;
}

function applyStep(graph: Graph, leaves: Record<string, Tensor>, values: readonly Tensor[], step: Step): Tensor {
  const x = values.at(-1 - (step.first % values.length))!;
  const width = x.shape[1]!;
  /** Another value of that width, or `otherwise`. */
  const partner = <T>(columns: number, otherwise: T) => {
    const alike = values.filter((value) => value.shape[1] === columns);
    return alike.length > 0 ? alike[step.second % alike.length]! : otherwise;
  };
  const to = WIDTHS[step.width]!;
  switch (step.op) {
    case 'add':
      return add(graph, x, partner(width, x), 0.5);
    case 'swiglu':
      return swiglu(graph, x, partner(width, x));
    case 'rmsNorm':
      return rmsNorm(graph, x, leaves[`norm${width}`]!, 1e-5);
    case 'linear':
      return linear(graph, x, leaves[`w${to}x${width}`]!);
    case 'linearAdd':
      return linear(graph, x, leaves[`w${to}x${width}`]!, { alpha: 0.5, addend: partner(to, undefined) });
    case 'bias':
      return addBias(graph, x, leaves[`bias${width}`]!);
    case 'dropout':
      return dropout(graph, x, leaves['seed']!, { probability: 0.25, stream: values.length });
  }
}
