/** A training session: base weights, trained tensors, their optimiser state, and the programs of every length. */
import { elementCount } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { dynamicMap } from '../../core/dynamic-map';
import { hash } from '../../core/rng';
import { adapterParameters, parameters, type ParameterSpec } from '../../core/spec';
import type { KeepParameter, LoadStream, StateTensor, WeightTensor } from '../../core/weights';
import { batchLeaves, countLabels, longestDocument } from '../model/batch';
import { byteSize, type Tensor } from '../graph/graph';
import type { KernelCapabilities } from '../graph/kernel';
import { flatGroups, groupBuffers, groupLeaf, type FlatGroup, type GroupBuffer } from '../compile/groups';
import { layoutBytes, leafBuffers, type LeafBuffer } from '../compile/layout';
import { Memory } from '../runtime/memory';
import { loadModel } from '../model/load';
import { RotaryLeaves } from '../model/rotary-leaves';
import { initialAdapter } from '../methods/lora';
import { initialMagnitudes, LEAF, lossGraph, updateGraph, type ModelOptions } from './graphs';
import { quantizeGraphs, storedParts } from '../model/weights';
import { byWhole, joinParts, splitParts, wholeShape } from '../compile/parts';
import { memoryPlan, planPrograms, type ProgramsPlan } from '../compile/plan';
import type { Runtime } from '../runtime/runtime';
import { tune } from '../runtime/tuner';
import type { Batch, ForwardResult, MemoryPlan, StepResult, TrainOptions, TrainSession, TrainState } from '../types';
import { checkTensors, converted } from '../runtime/upload';

/** The most that is read back at once. A step reads its loss and gradient norm, a whole vector each. */
const READBACK_BYTES = 4 * 1024 * 1024;
const STEP_BYTES = 32;

/** Everything that follows from the options: programs, buffers, bytes. The same with and without a GPU. */
interface TrainPlan {
  readonly model: ModelOptions;
  readonly trained: readonly ParameterSpec[];
  readonly groups: readonly FlatGroup[];
  readonly groupBuffers: readonly GroupBuffer[];
  readonly programs: ProgramsPlan;
  readonly buffers: readonly LeafBuffer[];
  readonly readbackBytes: number;
  readonly norm: Tensor;
  readonly memory: MemoryPlan;
}

/** `partBytes`: see `StorageOptions`. */
export function planTrainSession(
  options: TrainOptions,
  capabilities: KernelCapabilities,
  partBytes?: number,
): TrainPlan {
  const { spec, lora } = options;
  const positions = Math.max(...options.lengths);
  const model: ModelOptions = {
    spec,
    weightDType: options.weightDType,
    quantization: options.quantization,
    lora,
    trainable: lora ? 'adapter' : 'all',
    positions,
    partBytes,
  };
  const trained = lora ? adapterParameters(spec, lora) : parameters(spec);
  const leaves = lora ? trained : [...storedParts(model).values()].flat();
  const moments = options.adamw.moments ?? '32bit';
  const groups = flatGroups(leaves, lora ? () => true : decaysInTransformers, moments, partBytes);

  const graphs = quantizeGraphs(model);
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

  const programs = planPrograms(graphs, capabilities);
  const flat = groups.flatMap((group) => groupBuffers(group, lora !== undefined));
  const buffers = leafBuffers(programs, flat);
  const largest = Math.max(STEP_BYTES, ...flat.map(({ bytes }) => bytes));
  const readbackBytes = Math.min(READBACK_BYTES, largest);
  const memory = memoryPlan(layoutBytes(programs, buffers, readbackBytes));
  return { model, trained, groups, groupBuffers: flat, programs, buffers, readbackBytes, norm: update.norm, memory };
}

/** Transformers decays every matrix; norms and biases, its vectors, keep their size. */
function decaysInTransformers(name: string): boolean {
  return !/(norm\.weight|\.bias)$/.test(name);
}

export class GpuTrainSession implements TrainSession {
  private readonly rotary: RotaryLeaves;

  private constructor(
    private readonly runtime: Runtime,
    private readonly options: TrainOptions,
    private readonly planned: TrainPlan,
    private readonly memory: Memory,
  ) {
    this.rotary = new RotaryLeaves(memory, planned.model);
  }

  static async create(
    runtime: Runtime,
    options: TrainOptions,
    weights: LoadStream,
    keep?: KeepParameter,
  ): Promise<GpuTrainSession> {
    const planned = planTrainSession(options, runtime.capabilities, runtime.device.partBytes);
    const { programs, buffers, readbackBytes } = planned;
    await tune(runtime, programs);
    const memory = await Memory.allocate(runtime, programs, buffers, readbackBytes);
    const session = new GpuTrainSession(runtime, options, planned, memory);
    try {
      await session.load(weights, keep);
    } catch (error) {
      session.dispose();
      throw error;
    }
    return session;
  }

  private async load(weights: LoadStream, keep?: KeepParameter): Promise<void> {
    const { spec, lora } = this.options;
    await loadModel(this.runtime.device, this.memory, this.planned.model, weights, keep);
    if (this.planned.groups.some(({ moments }) => moments === '8bit')) {
      this.memory.write(LEAF.dynamicMaps, Float32Array.of(...dynamicMap(true), ...dynamicMap(false)));
    }
    if (!lora) return;
    for (const [name, values] of initialAdapter(spec, lora, this.options.seed)) this.memory.write(name, values);
    if (lora.useDora) await this.memory.run('magnitudes');
  }

  async compile(): Promise<void> {
    await Promise.all(this.planned.programs.programs.map(({ name }) => this.memory.program(name)));
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
    const lossLeaf = this.planned.programs.leaves.get(LEAF.loss)!;
    const [lossSum] = await this.memory.runAndRead(`eval:${length}`, [lossLeaf]);
    return { lossSum: lossSum![0]!, tokens: countLabels(batch) };
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
      checkpointing: this.options.checkpointing,
      logits: true,
    });
    const programs = planPrograms(new Map([['forward', graph]]), this.runtime.capabilities);
    const memory = await Memory.allocate(this.runtime, programs, [], byteSize(logits!), this.memory);
    try {
      this.clearGradients();
      this.memory.write(LEAF.dLoss, Float32Array.of(1 / Math.max(1, tokens)));
      this.writeBatch(batch);
      const [values] = await memory.runAndRead('forward', [logits!]);
      const lossSum = await this.readLoss();
      return {
        logits: values!.subarray(0, batch.inputIds.length * length * this.options.spec.vocabSize),
        ...(tokens > 0 ? { loss: lossSum / tokens } : {}),
        ...(gradients ? { gradients: await this.readParameterLike('gradients') } : {}),
      };
    } finally {
      memory.destroy();
    }
  }

  async exportParameters(): Promise<WeightTensor[]> {
    return this.readParameterLike('parameters');
  }

  async importParameters(tensors: readonly WeightTensor[]): Promise<void> {
    checkTensors(tensors, this.planned.trained);
    const leaves = byWhole(this.planned.groups.flatMap(({ entries }) => entries));
    for (const part of tensors.flatMap((tensor) => splitParts(tensor, leaves.get(tensor.name)!))) {
      this.memory.write(part.name, converted(part, 'f32'));
    }
  }

  async exportState(): Promise<TrainState> {
    return [...(await this.exportParameters()), ...(await this.readTensors('moments'))];
  }

  async importState(state: TrainState): Promise<void> {
    const kept = this.planned.groupBuffers.filter(({ role }) => role !== 'gradients').flatMap(({ tensors }) => tensors);
    const leaves = byWhole(kept);
    const expected = [...leaves].map(([name, parts]) => ({ name, shape: wholeShape(parts) }));
    checkTensors(state, expected);
    const dtypes = new Map(kept.map(({ name, dtype }) => [name, dtype]));
    for (const part of state.flatMap((tensor) => splitParts(tensor, leaves.get(tensor.name)!))) {
      this.memory.write(part.name, stateBytes(part, dtypes.get(part.name)!));
    }
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
    this.rotary.useFor(longestDocument(batch));
    return length;
  }

  private async readLoss(): Promise<number> {
    const [lossSum] = await this.memory.read(LEAF.loss, 1);
    return lossSum!;
  }

  /** One f32 tensor for each trained parameter, in the order of the forward pass. */
  private async readParameterLike(role: 'parameters' | 'gradients'): Promise<WeightTensor[]> {
    const order = new Map(this.planned.trained.map(({ name }, i) => [name, i]));
    const tensors = (await this.readTensors(role)).map((tensor) => ({ ...tensor, dtype: 'f32' as const }));
    return tensors.sort((a, b) => order.get(a.name)! - order.get(b.name)!);
  }

  /** Reads whole buffers, takes their tensors out of them, and puts the parts of tables together again. */
  private async readTensors(role: GroupBuffer['role']): Promise<StateTensor[]> {
    const read: StateTensor[] = [];
    for (const { label, bytes, tensors, role: found } of this.planned.groupBuffers) {
      if (found !== role) continue;
      const values = await this.memory.readBytes(label, bytes);
      for (const { name, dtype, shape, offset } of tensors) {
        const end = offset + elementCount(shape) * (dtype === 'u8' ? 1 : 4);
        read.push({ name, dtype, shape, bytes: values.slice(offset, end) });
      }
    }
    return joinParts(read);
  }
}

/** Bytes of a tensor of a state for a buffer of that type. Codes are no numbers to convert. */
function stateBytes(tensor: StateTensor, dtype: StateTensor['dtype']): Uint8Array {
  if (tensor.dtype === dtype) return tensor.bytes;
  if (tensor.dtype !== 'u8' && dtype === 'f32') return converted({ ...tensor, dtype: tensor.dtype }, 'f32');
  throw new GraftError(
    'bad-file',
    `The tensor ${tensor.name} is stored as ${tensor.dtype}, and this run keeps ${dtype}.`,
  );
}

function refuseUnlabelled(tokens: number): void {
  if (tokens > 0) return;
  throw new GraftError(
    'bad-data',
    'Nothing in this batch is trained on: every label is masked (-100). Check the template and max_length.',
  );
}
