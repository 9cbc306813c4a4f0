/** Parts of a batch, and values rounded to 16 bits. */
import { bf16ToF32, f32ToBf16 } from '../../../../src/core/dtypes';
import { pool } from '../../../../src/engine/ops/pool';
import { expand, round } from '../../../../src/engine/ops/round';
import { concatRows, splitRows } from '../../../../src/engine/ops/rows';
import { swiglu } from '../../../../src/engine/ops/glu';
import * as rows from '../../../reference/rows';
import * as gated from '../../../reference/glu';
import { given, normal, opCase, trainable, type OpCase } from './types';

/** Two of three parts, swapped, with the first of them gated by itself; so the last has a gradient of its own too. */
function splitCase(sizes: readonly [number, number, number], channels: number): OpCase {
  const total = sizes[0] + sizes[1] + sizes[2];
  return opCase({
    name: `splitRows and concatRows of [${total}, ${channels}] in ${sizes.join(' + ')}`,
    inputs: { x: trainable(normal([total, channels])) },
    build: (graph, { x }) => {
      const [a, b, c] = splitRows(graph, x, sizes) as [typeof x, typeof x, typeof x];
      return [concatRows(graph, [c, swiglu(graph, a, a), b])];
    },
    forward: ({ x }) => {
      const [a, b, c] = rows.splitRows(x, sizes, channels);
      return [rows.concatRows([c!, gated.swiglu(a!, a!), b!])];
    },
    backward: ({ x }, dy) => {
      const [a] = rows.splitRows(x, sizes, channels);
      const [dc, dgated, db] = rows.splitRows(dy, [sizes[2], sizes[0], sizes[1]], channels);
      const { dgate, dup } = gated.swigluBackward(a!, a!, dgated!);
      return { x: rows.concatRows([dgate.map((value, i) => value + dup[i]!), db!, dc!]) };
    },
  });
}

/** Its gradient passes straight through, which is no derivative: autodiff.test.ts looks at it. */
function roundCase(name: string, x: ReturnType<typeof normal>): OpCase {
  return opCase({
    name: `round to bf16, and expand, ${name}`,
    inputs: { x },
    build: (graph, { x }) => [expand(graph, round(graph, x))],
    forward: ({ x }) => [Float64Array.from(x, (value) => bf16ToF32(f32ToBf16(value)))],
  });
}

function poolCase(sequences: number, length: number, channels: number): OpCase {
  const count = sequences * length;
  const weights = Array.from({ length: count }, (_, i) => (i % 4 === 3 ? 0 : Math.fround(1 / (1 + (i % 7)))));
  return opCase({
    name: `pool of ${sequences} sequences of ${length}, ${channels} channels`,
    inputs: { x: trainable(normal([count, channels])), weights: given(weights, 'f32') },
    build: (graph, { x, weights }) => [pool(graph, x, weights, length)],
    forward: ({ x, weights }) => [rows.pool(x, weights, length)],
    backward: ({ weights }, dy) => ({ x: rows.poolBackward(weights, dy, length) }),
  });
}

export const rowCases: readonly OpCase[] = [
  poolCase(1, 1, 1),
  poolCase(3, 70, 33),
  splitCase([2, 4, 1], 20),
  splitCase([32, 32, 1], 33),
  roundCase('[7, 20]', normal([7, 20])),
  roundCase('[5, 13], an odd number of values', normal([5, 13], 1e-20)),
  roundCase('ties and the largest', given([1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8, 3.3e38, 0, -0], 'f32')),
];
