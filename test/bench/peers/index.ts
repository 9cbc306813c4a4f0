/** The same work on the same adapter in the same run: Graft, jax-js and TensorFlow.js. */
import { relativeError } from '../../support/compare';
import { timed, type Bench, type Ceilings } from '../bench';
import { sampledError } from '../kernels/matmul';
import type { Row } from '../report';
import { normal } from '../values';
import { graftContender } from './graft';
import { jaxContender } from './jax';
import { blockReference } from './reference';
import { tfjsContender } from './tfjs';
import { BLOCK, BLOCK_FLOPS, LINEAR_NAMES, LINEARS, type BlockInputs, type Contender, type Prepared } from './types';

const SIDES = [512, 1024, 2048];

/** How many times the better peer's rate Graft's is to be. */
const TARGETS = { matmul: 2.5, block: 1.6 };

/** Adam's first step is the gradient's sign: where a gradient is as good as nothing, engines differ. */
const TOLERANCE = 1e-3;

interface Task {
  readonly names: Pick<Row, 'name' | 'shape'>;
  readonly flops: number;
  readonly target: number;
  prepare(contender: Contender): Promise<Prepared>;
  error(results: readonly Float32Array[]): number;
}

export async function peerBenches(bench: Bench, ceilings: Ceilings): Promise<void> {
  const tasks = [...SIDES.map(matmulTask), blockTask()].filter(({ names }) =>
    bench.wanted({ group: 'peer', ...names }),
  );
  if (tasks.length === 0) return;
  offerGpu(bench.gpu);
  const found = [graftContender(bench.runner), await jaxContender(), await tfjsContender()];
  const contenders = found.filter((contender) => contender !== undefined);
  for (const task of tasks) {
    const rates: number[] = [];
    for (const contender of contenders) rates.push(await compete(bench, ceilings, task, contender));
    const value = rates[0]! / Math.max(...rates.slice(1));
    const names = { group: 'peer', ...task.names, model: 'Graft / best' };
    bench.add({ ...names, value, unit: '×', target: `≥ ${task.target} ×` });
  }
}

/** Peers look for a browser's entry point. */
function offerGpu(gpu: GPU): void {
  const navigator = { gpu, userAgent: 'Node.js', hardwareConcurrency: 2 };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
}

async function compete(bench: Bench, ceilings: Ceilings, task: Task, contender: Contender): Promise<number> {
  const prepared = await task.prepare(contender);
  try {
    if (contender.name !== 'Graft') await prepared.run();
    const error = task.error(await prepared.results());
    if (!(error < TOLERANCE)) throw new Error(`${contender.name}: ${task.names.name} is off by ${error}`);
    const milliseconds = await timed(bench, () => prepared.run());
    const value = task.flops / milliseconds / 1e6;
    const rates = { value, unit: 'GFLOP/s', milliseconds, ofCeiling: value / ceilings.matmul, error } as const;
    bench.add({ group: 'peer', ...task.names, model: contender.name, dtype: 'f32', ...rates });
    return value;
  } finally {
    prepared.dispose();
  }
}

function matmulTask(side: number): Task {
  const make = () => [normal([side, side]), normal([side, side])].map(({ values }) => values as Float32Array);
  let made: Float32Array[] | undefined;
  const inputs = () => (made ??= make()) as [Float32Array, Float32Array];
  return {
    names: { name: 'matmul', shape: `${side} × ${side} × ${side}` },
    flops: 2 * side ** 3,
    target: TARGETS.matmul,
    prepare: (contender) => contender.matmul(side, ...inputs()),
    error([c]) {
      const [x, w] = inputs();
      return sampledError(c!, side, side, (row, column) => {
        let sum = 0;
        for (let i = 0; i < side; i++) sum += x[row * side + i]! * w[column * side + i]!;
        return sum;
      });
    },
  };
}

function blockTask(): Task {
  const { tokens, width, hidden, rank } = BLOCK;
  const values = (rows: number, columns: number, scale = 1) => normal([rows, columns], scale).values as Float32Array;
  const linears = LINEAR_NAMES.map((name) => {
    const { inFeatures, outFeatures } = LINEARS[name];
    const scale = 1 / Math.sqrt(inFeatures);
    const w = values(outFeatures, inFeatures, scale);
    return [name, { w, a: values(rank, inFeatures, scale), b: values(outFeatures, rank, 0.1) }] as const;
  });
  const inputs: BlockInputs = {
    x: values(tokens, width),
    target: values(tokens, width),
    linears: Object.fromEntries(linears) as BlockInputs['linears'],
  };
  let expected: Float64Array[] | undefined;
  return {
    names: { name: 'LoRA block', shape: `${tokens} × ${width} → ${hidden}, r ${rank}` },
    flops: BLOCK_FLOPS,
    target: TARGETS.block,
    prepare: (contender) => contender.block(inputs),
    error(results) {
      expected ??= blockReference(inputs);
      return Math.max(...expected.map((tensor, i) => relativeError(results[i]!, tensor)));
    },
  };
}
