/** A training session: base weights, trained tensors, their optimiser state, and the programs of every length. */
import { elementCount } from '../core/dtypes';
import { GraftError } from '../core/errors';
import { hash } from '../core/rng';
import { adapterParameters, parameters, type ParameterSpec } from '../core/spec';
import type { WeightStream, WeightTensor } from '../core/weights';
import { batchLeaves, countLabels } from './batch';
import type { Device } from './device';
import type { Graph, Tensor } from './graph';
import type { KernelCapabilities } from './kernel';
import { flatGroups, layoutBytes, leafBuffers, Memory, type FlatGroup, type LeafBuffer } from './memory';
import { loadModel } from './model/load';
import { initialAdapter } from './model/lora';
import {
  gradientLeaf,
  groupLeaf,
  initialMagnitudes,
  LEAF,
  lossGraph,
  updateGraph,
  type ModelOptions,
} from './model/graphs';
import { memoryPlan, planPrograms, type ProgramsPlan } from './plan';
import type { PipelineCache, SubmitPacer } from './program';
import type { Batch, ForwardResult, MemoryPlan, StepResult, TrainOptions, TrainSession, TrainState } from './types';
import { checkTensors, converted } from './upload';

/** Loss and gradient norm. */
const READBACK_BYTES = 8;

const EXP_AVG = '.exp_avg';
const EXP_AVG_SQ = '.exp_avg_sq';

/** Everything that follows from the options: programs, buffers, bytes. The same with and without a GPU. */
interface TrainPlan {
  readonly model: ModelOptions;
  readonly trained: readonly ParameterSpec[];
  readonly groups: readonly FlatGroup[];
  readonly programs: ProgramsPlan;
  readonly buffers: readonly LeafBuffer[];
  readonly norm: Tensor;
  readonly memory: MemoryPlan;
}

export function planTrainSession(options: TrainOptions, capabilities: KernelCapabilities): TrainPlan {
  const { spec, lora } = options;
  const positions = Math.max(...options.lengths);
  const model: ModelOptions = {
    spec,
    weightDType: options.weightDType,
    lora,
    trainable: lora ? 'adapter' : 'all',
    positions,
  };
  const trained = lora ? adapterParameters(spec, lora) : parameters(spec);
  const groups = flatGroups(trained, lora ? () => true : decaysInTransformers);

  const graphs = new Map<string, Graph>();
  for (const length of options.lengths) {
    const shared = { ...model, batch: options.batchSize, length, packed: options.packing ?? false };
    const checkpoint = options.gradientCheckpointing;
    const dropout = lora !== undefined && lora.dropout > 0;
    graphs.set(`train:${length}`, lossGraph({ ...shared, gradients: true, dropout, checkpoint }).graph);
    graphs.set(`eval:${length}`, lossGraph({ ...shared, gradients: false, dropout: false, checkpoint: false }).graph);
  }
  const update = updateGraph(groups, options.adamw, options.maxGradNorm, lora !== undefined);
  graphs.set('update', update.graph);
  if (lora?.useDora) graphs.set('magnitudes', initialMagnitudes(model));

  const programs = planPrograms(graphs, capabilities);
  const buffers = leafBuffers(
    programs,
    groups.flatMap((group) => groupBuffers(group, lora !== undefined)),
  );
  const memory = memoryPlan(layoutBytes(programs, buffers, READBACK_BYTES));
  return { model, trained, groups, programs, buffers, norm: update.norm, memory };
}

/** Transformers decays every matrix; norms and biases, its vectors, keep their size. */
function decaysInTransformers(name: string): boolean {
  return !/(norm\.weight|\.bias)$/.test(name);
}

function groupBuffers(group: FlatGroup, adapter: boolean): LeafBuffer[] {
  const buffer = (label: string, kind: LeafBuffer['kind'], entryName?: (name: string) => string): LeafBuffer => {
    const entries = entryName ? group.entries.map((entry) => [entryName(entry.name), entry.offset] as const) : [];
    return { label, kind, bytes: group.bytes, ranges: new Map([[label, 0], ...entries]) };
  };
  return [
    buffer(groupLeaf.parameters(group), adapter ? 'adapter' : 'weights', (name) => name),
    buffer(groupLeaf.gradients(group), 'gradients', gradientLeaf),
    buffer(groupLeaf.expAvg(group), 'optimizer', (name) => name + EXP_AVG),
    buffer(groupLeaf.expAvgSq(group), 'optimizer', (name) => name + EXP_AVG_SQ),
  ];
}

export class GpuTrainSession implements TrainSession {
  private constructor(
    private readonly device: Device,
    private readonly pipelines: PipelineCache,
    private readonly pacer: SubmitPacer,
    private readonly options: TrainOptions,
    private readonly planned: TrainPlan,
    private readonly memory: Memory,
  ) {}

  static async create(
    device: Device,
    pipelines: PipelineCache,
    pacer: SubmitPacer,
    options: TrainOptions,
    weights: WeightStream,
  ): Promise<GpuTrainSession> {
    const planned = planTrainSession(options, device.capabilities);
    const memory = await Memory.allocate(device, pipelines, pacer, planned.programs, planned.buffers, READBACK_BYTES);
    const session = new GpuTrainSession(device, pipelines, pacer, options, planned, memory);
    try {
      await session.load(weights);
    } catch (error) {
      session.dispose();
      throw error;
    }
    return session;
  }

  private async load(weights: WeightStream): Promise<void> {
    const { spec, lora } = this.options;
    await loadModel(this.device, this.memory, this.planned.model, weights);
    if (!lora) return;
    for (const [name, values] of initialAdapter(spec, lora, this.options.seed)) this.memory.write(name, values);
    if (lora.useDora) await this.memory.run('magnitudes');
  }

  get plan(): MemoryPlan {
    return this.planned.memory;
  }

  get liveBytes(): MemoryPlan {
    return this.memory.ledger.liveBytes();
  }

  async step(microBatches: readonly Batch[], step: number, learningRate: number): Promise<StepResult> {
    const tokens = microBatches.reduce((sum, batch) => sum + countLabels(batch), 0);
    refuseUnlabelled(tokens);
    const { adamw, seed } = this.options;
    this.clearGradients();
    this.memory.write(LEAF.dLoss, Float32Array.of(1 / tokens));
    for (const [i, batch] of microBatches.entries()) {
      const length = this.writeBatch(batch);
      if (this.options.lora?.dropout) this.memory.write(LEAF.dropoutSeed, Uint32Array.of(hash(seed, step, i)));
      await this.memory.run(`train:${length}`);
    }
    const bias = (beta: number) => 1 - beta ** (step + 1);
    this.memory.write(LEAF.schedule, Float32Array.of(learningRate, bias(adamw.beta1), Math.sqrt(bias(adamw.beta2))));
    const lossLeaf = this.planned.programs.leaves.get(LEAF.loss)!;
    const [lossSum, norm] = await this.memory.runAndRead('update', [lossLeaf, this.planned.norm]);
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

  async evaluate(batch: Batch): Promise<{ lossSum: number; tokens: number }> {
    this.memory.clear([LEAF.loss]);
    const length = this.writeBatch(batch);
    await this.memory.run(`eval:${length}`);
    const [lossSum] = await this.memory.read(LEAF.loss, 1);
    return { lossSum: lossSum!, tokens: countLabels(batch) };
  }

  async forward(batch: Batch, gradients: boolean): Promise<ForwardResult> {
    const tokens = countLabels(batch);
    if (gradients) refuseUnlabelled(tokens);
    const length = this.lengthFor(batch);
    const { graph, logits } = lossGraph({
      ...this.planned.model,
      batch: this.options.batchSize,
      length,
      packed: this.options.packing ?? false,
      gradients,
      dropout: false,
      checkpoint: this.options.gradientCheckpointing,
    });
    graph.keep(logits);
    const programs = planPrograms(new Map([['forward', graph]]), this.device.capabilities);
    const memory = await Memory.allocate(
      this.device,
      this.pipelines,
      this.pacer,
      programs,
      [],
      4 * elementCount(logits.shape),
      this.memory,
    );
    try {
      this.clearGradients();
      this.memory.write(LEAF.dLoss, Float32Array.of(1 / Math.max(1, tokens)));
      this.writeBatch(batch);
      const [values] = await memory.runAndRead('forward', [logits]);
      const [lossSum] = await this.memory.read(LEAF.loss, 1);
      return {
        logits: values!.subarray(0, batch.inputIds.length * length * this.options.spec.vocabSize),
        ...(tokens > 0 ? { loss: lossSum! / tokens } : {}),
        ...(gradients ? { gradients: await this.readEntries(gradientLeaf) } : {}),
      };
    } finally {
      memory.destroy();
    }
  }

  async exportParameters(): Promise<WeightTensor[]> {
    return this.readEntries((name) => name);
  }

  async importParameters(tensors: readonly WeightTensor[]): Promise<void> {
    checkTensors(tensors, this.planned.trained);
    for (const tensor of tensors) this.memory.write(tensor.name, converted(tensor, 'f32'));
  }

  async exportState(): Promise<TrainState> {
    const moments = [(name: string) => name + EXP_AVG, (name: string) => name + EXP_AVG_SQ];
    const parts = [await this.exportParameters()];
    for (const leafName of moments) {
      const tensors = await this.readEntries(leafName);
      parts.push(tensors.map((tensor) => ({ ...tensor, name: leafName(tensor.name) })));
    }
    return parts.flat();
  }

  async importState(state: TrainState): Promise<void> {
    const expected = ['', EXP_AVG, EXP_AVG_SQ].flatMap((suffix) =>
      this.planned.trained.map(({ name, shape }) => ({ name: name + suffix, shape })),
    );
    checkTensors(state, expected);
    for (const tensor of state) this.memory.write(tensor.name, converted(tensor, 'f32'));
  }

  dispose(): void {
    this.memory.destroy();
  }

  private clearGradients(): void {
    this.memory.clear([LEAF.loss, ...this.planned.groups.map(groupLeaf.gradients)]);
  }

  /** The padded length that fits the batch. */
  private lengthFor(batch: Batch): number {
    const longest = Math.max(...batch.inputIds.map((row) => row.length));
    const length = this.options.lengths.find((candidate) => candidate >= longest);
    if (length === undefined || batch.inputIds.length > this.options.batchSize) {
      throw new Error(`a batch of ${batch.inputIds.length} rows of up to ${longest} tokens was not planned for`);
    }
    return length;
  }

  /** Writes a batch's leaves. Returns its padded length. */
  private writeBatch(batch: Batch): number {
    const { batchSize, packing, spec } = this.options;
    if (batch.documents && !packing) throw new Error('rows of several documents were not planned for');
    const length = this.lengthFor(batch);
    const { ids, labels, first } = batchLeaves(batch, batchSize, length, spec.vocabSize);
    this.memory.write(LEAF.ids, ids);
    this.memory.write(LEAF.labels, labels);
    if (packing) this.memory.write(LEAF.first, first);
    return length;
  }

  /** Reads one tensor of each trained parameter, whole groups at a time. */
  private async readEntries(leafName: (name: string) => string): Promise<WeightTensor[]> {
    const tensors: WeightTensor[] = [];
    for (const group of this.planned.groups) {
      // A group's first entry stands at its start, so reading from there reads the whole group.
      const values = await this.memory.read(leafName(group.entries[0]!.name), group.bytes / 4);
      for (const { name, shape, offset } of group.entries) {
        const bytes = new Uint8Array(values.buffer, offset, 4 * elementCount(shape)).slice();
        tensors.push({ name, shape, dtype: 'f32', bytes });
      }
    }
    const order = new Map(this.planned.trained.map(({ name }, i) => [name, i]));
    return tensors.sort((a, b) => order.get(a.name)! - order.get(b.name)!);
  }
}

function refuseUnlabelled(tokens: number): void {
  if (tokens > 0) return;
  throw new GraftError(
    'bad-data',
    'Nothing in this batch is trained on: every label is masked (-100). Check the template and max_length.',
  );
}
