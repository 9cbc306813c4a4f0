/** The same work on the same adapter in the same run: Graft, jax-js and TensorFlow.js. */
import { relativeError } from '../../support/compare';
import { median, type Bench, type Ceilings } from '../bench';
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

/** Rounds that medians are taken of, and the time after which no further one starts. */
const LEAST_ROUNDS = 5;
const MOST_ROUNDS = 21;
const ENOUGH_MS = 6000;

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
  for (const task of tasks) await compete(bench, ceilings, task, contenders);
}

/** Peers look for a browser's entry point. */
function offerGpu(gpu: GPU): void {
  const navigator = { gpu, userAgent: 'Node.js', hardwareConcurrency: 2 };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
}

/**
 * All contenders take turns, round by round, so that what else the machine does slows all of them; of their rates the
 * medians count, and Graft's ratio is taken in each round anew.
 */
async function compete(bench: Bench, ceilings: Ceilings, task: Task, contenders: readonly Contender[]): Promise<void> {
  const lanes: Lane[] = [];
  try {
    for (const contender of contenders) lanes.push(await enter(task, contender));
    const began = performance.now();
    let rounds = 0;
    while (rounds < LEAST_ROUNDS || (rounds < MOST_ROUNDS && performance.now() - began < ENOUGH_MS)) {
      for (let turn = 0; turn < lanes.length; turn++) {
        const { prepared, milliseconds } = lanes[(rounds + turn) % lanes.length]!;
        const start = bench.now();
        await prepared.run();
        milliseconds.push(bench.now() - start);
      }
      rounds++;
    }
    for (const { name, error, milliseconds } of lanes) {
      const rate = task.flops / median(milliseconds) / 1e6;
      const rates = { value: rate, unit: 'GFLOP/s', ofCeiling: rate / ceilings.matmul, error } as const;
      const names = { group: 'peer', ...task.names, model: name, dtype: 'f32' };
      bench.add({ ...names, ...rates, milliseconds: median(milliseconds), note: spread(milliseconds, 'ms') });
    }
    const [graft, ...peers] = lanes.map(({ milliseconds }) => milliseconds) as [number[], ...number[][]];
    if (peers.length === 0) return;
    const best = peers.reduce((a, b) => (median(b) < median(a) ? b : a));
    const ratios = graft.map((milliseconds, round) => best[round]! / milliseconds);
    const names = { group: 'peer', ...task.names, model: 'Graft / best' };
    const target = `≥ ${task.target} ×`;
    bench.add({ ...names, value: median(ratios), unit: '×', target, note: spread(ratios, '×') });
  } finally {
    for (const { prepared } of lanes) prepared.dispose();
  }
}

/** A contender, set up and checked, with the times of its rounds. */
interface Lane {
  readonly name: string;
  readonly prepared: Prepared;
  readonly error: number;
  readonly milliseconds: number[];
}

async function enter(task: Task, contender: Contender): Promise<Lane> {
  const { name } = contender;
  const prepared = await task.prepare(contender);
  try {
    if (name !== 'Graft') await prepared.run();
    const error = task.error(await prepared.results());
    if (!(error < TOLERANCE)) throw new Error(`${name}: ${task.names.name} is off by ${error}`);
    await prepared.run(); // with all that is compiled or allocated at a first run
    return { name, prepared, error, milliseconds: [] };
  } catch (error) {
    prepared.dispose();
    throw error;
  }
}

/** The least and the most of the rounds, in words. */
function spread(values: readonly number[], unit: string): string {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toPrecision(3));
  return `${least} to ${most} ${unit} in ${values.length} rounds`;
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
