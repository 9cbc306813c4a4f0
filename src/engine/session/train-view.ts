/** Training: optimiser steps over micro-batches, and the evaluation between them. */
import { withoutAdapter } from '../../core/adapter';
import { GraftError } from '../../core/errors';
import { dynamicMap } from '../../core/dynamic-map';
import { hash } from '../../core/rng';
import type { ParameterSpec } from '../../core/spec';
import type { StateEntry, StateTensor, WeightTensor } from '../../core/weights';
import {
  flatGroups,
  groupBuffers,
  groupLeaf,
  referenceBuffer,
  type FlatGroup,
  type GroupBuffer,
} from '../compile/groups';
import type { Graph, Tensor } from '../graph/graph';
import { methodOf } from '../methods';
import { trainedLeaves, trainedParameters } from '../methods/trained';
import { byteSize } from '../graph/tensor';
import { LEAF, type ModelOptions } from '../model/leaves';
import { objectiveOf } from '../objectives';
import { labelsOf, type Objective } from '../objectives/objective';
import type { Batch, EvaluationResult, StepResult, TrainView, TrainViewOptions } from '../types';
import { refuseUnlabelled, writeBatch, type WrittenBatch } from './batch-leaves';
import { lossGraph, LOSS, sumsLeaf } from './loss-graph';
import { INITIALIZE, initialGraph } from './method-graphs';
import { COPY, copyGraph, derivedCopyGraph, DERIVE_COPY } from './reference';
import { TrainedState } from './trained-state';
import { updateGraph } from './update-graph';
import { leavesRead, type BatchViewPlan, type SessionCore } from './view';
import { withVirtualTokens } from './virtual-tokens';

/** The most of the training state that is read back at once. */
const READBACK_BYTES = 4 * 1024 * 1024;

export interface TrainPlan extends BatchViewPlan {
  readonly trained: readonly ParameterSpec[];
  readonly groups: readonly FlatGroup[];
  readonly buffers: readonly GroupBuffer[];
  readonly norm: Tensor;
  readonly objective: Objective;
  /** What a step and an evaluation read beside its loss: sums of what the objective logs. */
  readonly metrics: readonly Tensor[];
}

export function planTraining(model: ModelOptions, options: TrainViewOptions): TrainPlan {
  const { lora } = model;
  const objective = objectiveOf(options.objective);
  const groups = flatGroups(trainedLeaves(model), options.adamw.moments ?? '32bit', model.partBytes);

  if (objective.reference === 'base' && trainedParameters(withoutAdapter(model)).length > 0) {
    throw new Error('the model without its adapter is no reference where it is trained itself: take a copy');
  }
  const graphs = new Map<string, Graph>();
  for (const length of options.lengths) {
    const shared = { ...model, batch: options.batchSize, length, packed: options.packing ?? false, objective };
    const { gradientCheckpointing: checkpoint, checkpointing } = options;
    const dropout = lora !== undefined && lora.dropout > 0;
    graphs.set(`train:${length}`, lossGraph({ ...shared, gradients: true, dropout, checkpoint, checkpointing }).graph);
    graphs.set(
      `eval:${length}`,
      lossGraph({ ...shared, gradients: false, dropout: false, checkpoint: false, checkpointing }).graph,
    );
  }
  const update = updateGraph(groups, options.adamw, options.maxGradNorm);
  graphs.set('update', update.graph);
  const initial = initialGraph(model);
  if (initial) graphs.set(INITIALIZE, initial);

  const buffers = groups.flatMap(groupBuffers);
  if (objective.reference === 'copy') {
    graphs.set(COPY, copyGraph(groups));
    const derived = derivedCopyGraph(model);
    if (derived) graphs.set(DERIVE_COPY, derived);
    buffers.push(...groups.map(referenceBuffer));
  }
  const metrics = objective.metrics.length > 0 ? [sumsLeaf(LEAF.metrics, objective.metrics.length)] : [];
  const stepBytes = [LOSS, update.norm, ...metrics].reduce((sum, tensor) => sum + byteSize(tensor), 0);
  const largest = Math.max(stepBytes, ...buffers.map(({ bytes }) => bytes));
  const readbackBytes = Math.min(READBACK_BYTES, largest);
  const trained = trainedParameters(model);
  return {
    graphs,
    reads: leavesRead(graphs),
    trained,
    groups,
    buffers,
    readbackBytes,
    norm: update.norm,
    objective,
    metrics,
  };
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
    if (this.planned.groups.some(({ moments }) => moments === '8bit')) {
      memory.write(LEAF.dynamicMaps, Float32Array.of(...dynamicMap(true), ...dynamicMap(false)));
    }
    const { initialValues, initialize } = methodOf(model);
    for (const [name, values] of initialValues(this.options.seed)) memory.write(name, values);
    if (initialize) await memory.run(INITIALIZE);
    await this.keepReference();
  }

  async keepReference(): Promise<void> {
    const { core, planned } = this;
    if (planned.objective.reference !== 'copy') return;
    await core.accumulating(async () => {
      await core.exclusively(async () => {
        core.memory.clear(planned.groups.map(groupLeaf.reference));
        await core.memory.run(COPY);
      });
      await this.deriveOfReference();
    });
  }

  /** Brings what follows from the frozen copy up to date with it. */
  private async deriveOfReference(): Promise<void> {
    if (!this.planned.graphs.has(DERIVE_COPY)) return;
    await this.core.exclusively(() => this.core.memory.run(DERIVE_COPY));
  }

  async step(given: readonly Batch[], step: number, learningRate: number): Promise<StepResult> {
    const microBatches = given.map((batch) => this.seen(batch));
    refuseUnlabelled(labelsOf(microBatches));
    return this.core.accumulating(() => this.accumulate(microBatches, step, learningRate));
  }

  private async accumulate(microBatches: readonly Batch[], step: number, learningRate: number): Promise<StepResult> {
    const { core, planned } = this;
    const { memory } = core;
    const { adamw, seed } = this.options;
    const divisor = planned.objective.divisor(microBatches);
    memory.clear([...this.sums, ...planned.groups.map(groupLeaf.gradients)]);
    memory.write(LEAF.dLoss, Float32Array.of(1 / divisor));
    for (const [i, batch] of microBatches.entries()) {
      await core.exclusively(async () => {
        const { length, rows } = this.writeInputs(batch);
        if (core.model.lora?.dropout) memory.write(LEAF.dropoutSeed, Uint32Array.of(hash(seed, step, i)));
        await memory.run(`train:${length}`, rows);
      });
    }
    const bias = (beta: number) => 1 - beta ** (step + 1);
    memory.write(LEAF.schedule, Float32Array.of(learningRate, bias(adamw.beta1), Math.sqrt(bias(adamw.beta2))));
    const read = [LOSS, planned.norm, ...planned.metrics];
    const [lossSum, norm, logged] = await core.exclusively(() => {
      core.trained.version++;
      return memory.runAndRead('update', read);
    });
    const loss = lossSum![0]! / divisor;
    const gradNorm = norm![0]!;
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      throw new GraftError(
        'diverged',
        `At step ${step + 1} the loss is ${loss} and the gradient norm ${gradNorm}: lower learning_rate, or add warmup_steps.`,
      );
    }
    return { loss, gradNorm, metrics: this.meanMetrics(logged, microBatches.length) };
  }

  evaluate(given: Batch): Promise<EvaluationResult> {
    const { core, planned } = this;
    const batch = this.seen(given);
    const { objective } = planned;
    const work = async () => {
      core.memory.clear(this.sums);
      const { length, rows } = this.writeInputs(batch);
      const [lossSum, logged] = await core.memory.runAndRead(`eval:${length}`, [LOSS, ...planned.metrics], rows);
      const count = objective.count(batch);
      // Where a batch's loss is a mean already, it counts as often as there are things that it is the mean of.
      const scale = count / objective.divisor([batch]) || 0;
      return { lossSum: lossSum![0]! * scale, count, metrics: this.meanMetrics(logged, 1) };
    };
    return core.accumulating(() => core.exclusively(work));
  }

  /** The batch as the model sees it. A reference and a teacher may have nothing before the first token of a row. */
  private seen(batch: Batch): Batch {
    const { kind = 'sft' } = this.options.objective ?? {};
    return withVirtualTokens(batch, this.core.model, kind === 'sft');
  }

  /** The leaves that micro-batches add their losses and metrics to. */
  private get sums(): string[] {
    return [LOSS, ...this.planned.metrics].map(({ leaf }) => leaf!.name);
  }

  /** Writes a batch's leaves, the objective's own among them. */
  private writeInputs(batch: Batch): WrittenBatch {
    const written = writeBatch(this.core, this.planned, this.options, batch);
    const shape = { batch: this.options.batchSize, length: written.length };
    for (const [name, values] of this.planned.objective.inputs(batch, shape)) this.core.memory.write(name, values);
    return written;
  }

  private meanMetrics(sums: Float32Array | undefined, microBatches: number): Record<string, number> {
    return Object.fromEntries(this.planned.objective.metrics.map((name, i) => [name, sums![i]! / microBatches]));
  }

  exportParameters(): Promise<WeightTensor[]> {
    return this.core.exclusively(() => this.state.parameters());
  }

  stateEntries(): StateEntry[] {
    return this.state.entries((work) => this.core.exclusively(work));
  }

  async importState(state: readonly (StateTensor | StateEntry)[]): Promise<void> {
    const { core } = this;
    await core.accumulating(async () => {
      await core.exclusively(async () => {
        await this.state.import(state);
        core.trained.version++;
      });
      await this.deriveOfReference();
    });
  }
}
