/** Training: optimiser steps over micro-batches, and the evaluation between them. */
import { GraftError } from '../../core/errors';
import { dynamicMap } from '../../core/dynamic-map';
import { hash } from '../../core/rng';
import { adapterParameters, parameters, type ParameterSpec } from '../../core/spec';
import type { WeightTensor } from '../../core/weights';
import { flatGroups, groupBuffers, groupLeaf, type FlatGroup, type GroupBuffer } from '../compile/groups';
import type { Graph, Tensor } from '../graph/graph';
import { initialAdapter } from '../methods/lora';
import { countLabels } from '../model/batch';
import { LEAF, type ModelOptions } from '../model/leaves';
import { storedParts } from '../model/weights';
import type { Batch, StepResult, TrainState, TrainView, TrainViewOptions } from '../types';
import { refuseUnlabelled, writeBatch } from './batch-leaves';
import { lossGraph, LOSS } from './loss-graph';
import { initialMagnitudes } from './magnitudes-graph';
import { TrainedState } from './trained-state';
import { updateGraph } from './update-graph';
import type { SessionCore, ViewPlan } from './view';

/** The most that is read back at once. A step reads its loss and gradient norm, a whole vector each. */
const READBACK_BYTES = 4 * 1024 * 1024;
const STEP_BYTES = 32;

export interface TrainPlan extends ViewPlan {
  readonly trained: readonly ParameterSpec[];
  readonly groups: readonly FlatGroup[];
  readonly buffers: readonly GroupBuffer[];
  readonly norm: Tensor;
}

export function planTraining(model: ModelOptions, options: TrainViewOptions): TrainPlan {
  const { spec, lora } = model;
  const trained = lora ? adapterParameters(spec, lora) : parameters(spec);
  const leaves = lora ? trained : [...storedParts(model).values()].flat();
  const moments = options.adamw.moments ?? '32bit';
  const groups = flatGroups(leaves, lora ? () => true : decaysInTransformers, moments, model.partBytes);

  const graphs = new Map<string, Graph>();
  for (const length of options.lengths) {
    const shared = { ...model, batch: options.batchSize, length, packed: options.packing ?? false };
    const { gradientCheckpointing: checkpoint, checkpointing } = options;
    const dropout = lora !== undefined && lora.dropout > 0;
    graphs.set(`train:${length}`, lossGraph({ ...shared, gradients: true, dropout, checkpoint, checkpointing }).graph);
    graphs.set(
      `eval:${length}`,
      lossGraph({ ...shared, gradients: false, dropout: false, checkpoint: false, checkpointing }).graph,
    );
  }
  const update = updateGraph(groups, options.adamw, options.maxGradNorm, lora !== undefined);
  graphs.set('update', update.graph);
  if (lora?.useDora) graphs.set('magnitudes', initialMagnitudes(model));

  const buffers = groups.flatMap((group) => groupBuffers(group, lora !== undefined));
  const largest = Math.max(STEP_BYTES, ...buffers.map(({ bytes }) => bytes));
  const readbackBytes = Math.min(READBACK_BYTES, largest);
  return { graphs, trained, groups, buffers, readbackBytes, norm: update.norm };
}

/** Transformers decays every matrix; norms and biases, its vectors, keep their size. */
function decaysInTransformers(name: string): boolean {
  return !/(norm\.weight|\.bias)$/.test(name);
}

export class GpuTrainView implements TrainView {
  private readonly state: TrainedState;

  constructor(
    private readonly core: SessionCore,
    private readonly options: TrainViewOptions,
    private readonly planned: TrainPlan,
  ) {
    this.state = new TrainedState(core.memory, planned.trained, planned.buffers);
  }

  /** Writes what training starts from, once the weights are there. */
  async initialize(): Promise<void> {
    const { model, memory } = this.core;
    const { spec, lora } = model;
    if (this.planned.groups.some(({ moments }) => moments === '8bit')) {
      memory.write(LEAF.dynamicMaps, Float32Array.of(...dynamicMap(true), ...dynamicMap(false)));
    }
    if (!lora) return;
    for (const [name, values] of initialAdapter(spec, lora, this.options.seed)) memory.write(name, values);
    if (lora.useDora) await memory.run('magnitudes');
  }

  async step(microBatches: readonly Batch[], step: number, learningRate: number): Promise<StepResult> {
    const tokens = microBatches.reduce((sum, batch) => sum + countLabels(batch), 0);
    refuseUnlabelled(tokens);
    const { adamw, seed } = this.options;
    const { core } = this;
    const { memory } = core;
    memory.clear([LEAF.loss, ...this.planned.groups.map(groupLeaf.gradients)]);
    memory.write(LEAF.dLoss, Float32Array.of(1 / tokens));
    for (const [i, batch] of microBatches.entries()) {
      await core.exclusively(async () => {
        const { length, rows } = writeBatch(core, this.options, batch);
        if (core.model.lora?.dropout) memory.write(LEAF.dropoutSeed, Uint32Array.of(hash(seed, step, i)));
        await memory.run(`train:${length}`, rows);
      });
    }
    const bias = (beta: number) => 1 - beta ** (step + 1);
    memory.write(LEAF.schedule, Float32Array.of(learningRate, bias(adamw.beta1), Math.sqrt(bias(adamw.beta2))));
    const [lossSum, norm] = await core.exclusively(() => memory.runAndRead('update', [LOSS, this.planned.norm]));
    const loss = lossSum![0]! / tokens;
    const gradNorm = norm![0]!;
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      throw new GraftError(
        'diverged',
        `At step ${step + 1} the loss is ${loss} and the gradient norm ${gradNorm}: lower learning_rate, or add warmup_steps.`,
      );
    }
    return { loss, gradNorm };
  }

  evaluate(batch: Batch): Promise<{ lossSum: number; tokens: number }> {
    const { core } = this;
    return core.exclusively(async () => {
      core.memory.clear([LEAF.loss]);
      const { length, rows } = writeBatch(core, this.options, batch);
      const [lossSum] = await core.memory.runAndRead(`eval:${length}`, [LOSS], rows);
      return { lossSum: lossSum![0]!, tokens: countLabels(batch) };
    });
  }

  exportParameters(): Promise<WeightTensor[]> {
    return this.core.exclusively(() => this.state.parameters());
  }

  exportState(): Promise<TrainState> {
    return this.core.exclusively(() => this.state.export());
  }

  async importState(state: TrainState): Promise<void> {
    this.state.import(state);
  }
}
