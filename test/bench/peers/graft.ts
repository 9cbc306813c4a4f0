/** Graft as its sessions run it: one planned program, replayed. */
import { backward } from '../../../src/engine/graph/autodiff';
import { Graph, type Tensor } from '../../../src/engine/graph/graph';
import { linear } from '../../../src/engine/ops/matmul';
import { adamwOp } from '../../../src/engine/ops/optimizer';
import { swiglu } from '../../../src/engine/ops/glu';
import { declareLeaves, placeGraph, type LeafInput, type Runner } from '../../support/graph-runner';
import { ADAM, BLOCK, LINEAR_NAMES, LINEARS, type BlockInputs, type Contender, type Prepared } from './types';

export function graftContender(runner: Runner): Contender {
  return {
    name: 'Graft',
    matmul: (side, x, w) => {
      const inputs = { x: matrix(side, side, x), w: matrix(side, side, w) };
      // A linear's weight is stored [out, in]: the product with a plain matrix is the other orientation.
      return prepare(runner, inputs, (graph, leaves) => [linear(graph, leaves.x, leaves.w)]);
    },
    block: (inputs) => prepare(runner, blockLeaves(inputs), buildBlock),
  };
}

const matrix = (rows: number, columns: number, values: ArrayLike<number>): LeafInput => ({
  shape: [rows, columns],
  dtype: 'f32',
  values,
});
const trainable = (input: LeafInput): LeafInput => ({ ...input, trainable: true });
const zeros = ({ shape }: LeafInput): LeafInput => ({ shape, dtype: 'f32', values: [] });

async function prepare<K extends string>(
  runner: Runner,
  inputs: Readonly<Record<K, LeafInput>>,
  build: (graph: Graph, leaves: Record<K, Tensor>) => readonly Tensor[],
): Promise<Prepared> {
  const graph = new Graph();
  const outputs = build(graph, declareLeaves(graph, inputs));
  const { memory } = await placeGraph(runner, graph, inputs, outputs);
  const { device } = runner;
  let ran = false;
  return {
    async run() {
      ran = true;
      await memory.run('main');
      await device.wait(device.gpu.queue.onSubmittedWorkDone());
    },
    // Reading comes with a run: it is the first, so that an update has happened once.
    results: () => {
      if (ran) throw new Error('the results are those of the first run');
      ran = true;
      return memory.runAndRead('main', outputs);
    },
    dispose: () => memory.destroy(),
  };
}

function blockLeaves({ x, target, linears }: BlockInputs): Record<string, LeafInput> {
  const { tokens, width, rank } = BLOCK;
  const { learningRate, beta1, beta2 } = ADAM;
  const leaves: Record<string, LeafInput> = {
    x: trainable(matrix(tokens, width, x)),
    target: matrix(tokens, width, target),
    norm: { shape: [1], dtype: 'f32', values: [1] },
    loss: { shape: [1], dtype: 'f32', values: [1] },
    schedule: { shape: [3], dtype: 'f32', values: [learningRate, 1 - beta1, Math.sqrt(1 - beta2)] },
  };
  for (const name of LINEAR_NAMES) {
    const { inFeatures, outFeatures } = LINEARS[name];
    const { w, a, b } = linears[name];
    leaves[`${name}.w`] = matrix(outFeatures, inFeatures, w);
    for (const [factor, input] of [
      ['a', matrix(rank, inFeatures, a)],
      ['b', matrix(outFeatures, rank, b)],
    ] as const) {
      leaves[`${name}.${factor}`] = trainable(input);
      leaves[`${name}.${factor}.m`] = zeros(input);
      leaves[`${name}.${factor}.v`] = zeros(input);
    }
  }
  return leaves;
}

function buildBlock(graph: Graph, leaves: Record<string, Tensor>): Tensor[] {
  const leaf = (name: string) => leaves[name]!;
  const adapted = (input: Tensor, name: string) =>
    linear(graph, linear(graph, input, leaf(`${name}.a`)), leaf(`${name}.b`), {
      alpha: BLOCK.scaling,
      addend: linear(graph, input, leaf(`${name}.w`)),
    });
  const x = leaf('x');
  const y = adapted(swiglu(graph, adapted(x, 'gate'), adapted(x, 'up')), 'down');
  const gradients = backward(graph, new Map([[y, leaf('target')]]));
  const { beta1, beta2, epsilon } = ADAM;
  const attrs = { beta1, beta2, epsilon, weightDecay: 0, maxNorm: 0 };
  const trained = LINEAR_NAMES.flatMap((name) => [leaf(`${name}.a`), leaf(`${name}.b`)]);
  for (const parameter of trained) {
    const { name } = parameter.leaf!;
    const flat = [parameter, leaf(`${name}.m`), leaf(`${name}.v`)];
    graph.apply(adamwOp, [gradients.get(parameter)!, leaf('norm'), leaf('loss'), leaf('schedule'), ...flat], attrs);
  }
  return [gradients.get(x)!, ...trained];
}
