/** An inference session: weights, an optional adapter, and a KV cache over several sequences. */
import { GraftError } from '../../core/errors';
import { adapterParameters } from '../../core/spec';
import type { KeepParameter, LoadStream, WeightTensor } from '../../core/weights';
import { byteSize, type Tensor } from '../graph/graph';
import type { KernelCapabilities } from '../graph/kernel';
import { layoutBytes, leafBuffers, type LeafBuffer } from '../compile/layout';
import { Memory } from '../runtime/memory';
import { decodeGraph, LEAF, type ModelOptions } from './graphs';
import { loadModel } from '../model/load';
import { RotaryLeaves } from '../model/rotary-leaves';
import { isLong } from '../model/rotary';
import { quantizeGraphs } from '../model/weights';
import { memoryPlan, planPrograms, type ProgramsPlan } from '../compile/plan';
import type { Runtime } from '../runtime/runtime';
import { tune } from '../runtime/tuner';
import type { InferenceOptions, InferenceSession, MemoryPlan } from '../types';
import { checkTensors, converted, refuseUnknownIds } from '../runtime/upload';

/** Prompts are padded to one of few lengths, so that few programs serve all. */
const SHORTEST_PROMPT = 16;

interface InferencePlan {
  readonly model: ModelOptions;
  readonly promptLengths: readonly number[];
  readonly programs: ProgramsPlan;
  readonly logits: ReadonlyMap<string, Tensor>;
  readonly buffers: readonly LeafBuffer[];
  readonly readbackBytes: number;
  readonly memory: MemoryPlan;
}

/** `partBytes`: see `StorageOptions`. */
export function planInferenceSession(
  options: InferenceOptions,
  capabilities: KernelCapabilities,
  partBytes?: number,
): InferencePlan {
  const { spec, lora, batchSize: batch, maxLength: capacity } = options;
  const { weightDType, quantization } = options;
  const positions = capacity;
  const model: ModelOptions = { spec, weightDType, quantization, lora, trainable: 'none', positions, partBytes };
  const promptLengths = doublings(SHORTEST_PROMPT, capacity);
  const graphs = quantizeGraphs(model);
  const logits = new Map<string, Tensor>();
  for (const adapter of lora ? [true, false] : [false]) {
    for (const length of [1, ...promptLengths]) {
      const name = programName(adapter, length);
      const built = decodeGraph({ ...model, lora: adapter ? lora : undefined, batch, length, capacity });
      graphs.set(name, built.graph);
      logits.set(name, built.logits);
    }
  }
  const programs = planPrograms(graphs, capabilities);
  const buffers = leafBuffers(programs, []);
  const readbackBytes = Math.max(...[...logits.values()].map(byteSize));
  const memory = memoryPlan(layoutBytes(programs, buffers, readbackBytes));
  return { model, promptLengths, programs, logits, buffers, readbackBytes, memory };
}

const programName = (adapter: boolean, length: number) => `${adapter ? 'tuned' : 'base'}:${length}`;

/** first, 2·first, 4·first, … and `last` itself. */
function doublings(first: number, last: number): number[] {
  const lengths: number[] = [];
  for (let length = first; length < last; length *= 2) lengths.push(length);
  return [...lengths, last];
}

export class GpuInferenceSession implements InferenceSession {
  /** Tokens in the cache, by sequence. */
  private rows: number[][] = [];
  private adapterOn = false;
  private readonly rotary: RotaryLeaves;

  private constructor(
    private readonly runtime: Runtime,
    private readonly options: InferenceOptions,
    private readonly planned: InferencePlan,
    private readonly memory: Memory,
  ) {
    this.rotary = new RotaryLeaves(memory, planned.model);
  }

  static async create(
    runtime: Runtime,
    options: InferenceOptions,
    weights: LoadStream,
    keep?: KeepParameter,
  ): Promise<GpuInferenceSession> {
    const planned = planInferenceSession(options, runtime.capabilities, runtime.device.partBytes);
    const { programs, buffers, readbackBytes } = planned;
    await tune(runtime, programs);
    const memory = await Memory.allocate(runtime, programs, buffers, readbackBytes);
    const session = new GpuInferenceSession(runtime, options, planned, memory);
    try {
      await loadModel(runtime.device, memory, planned.model, weights, keep);
    } catch (error) {
      session.dispose();
      throw error;
    }
    return session;
  }

  get plan(): MemoryPlan {
    return this.planned.memory;
  }

  get liveBytes(): MemoryPlan {
    return this.memory.ledger.liveBytes();
  }

  async prefill(
    prompts: readonly (readonly number[])[],
    useAdapter = this.options.lora !== undefined,
  ): Promise<Float32Array> {
    if (
      prompts.length === 0 ||
      prompts.length > this.options.batchSize ||
      prompts.some((prompt) => prompt.length === 0)
    ) {
      throw new Error(`expected 1 to ${this.options.batchSize} prompts of at least one token`);
    }
    this.rows = prompts.map((prompt) => [...prompt]);
    this.adapterOn = useAdapter && this.options.lora !== undefined;
    return this.fillCache();
  }

  async decode(tokens: readonly number[]): Promise<Float32Array> {
    if (tokens.length !== this.rows.length) throw new Error(`expected ${this.rows.length} tokens, one a sequence`);
    const before = this.longest;
    if (before >= this.options.maxLength) throw contextFull(before + 1, this.options.maxLength);
    const start = this.rows.map((row) => row.length);
    this.rows.forEach((row, b) => row.push(tokens[b]!));
    // Where LongRoPE takes other frequencies from here on, the keys in the cache are rotated anew.
    const { spec } = this.options;
    if (isLong(spec, before + 1) && !isLong(spec, before)) return this.fillCache();
    return this.run(
      tokens.map((token) => [token]),
      1,
      start,
      start.map(() => 1),
    );
  }

  private get longest(): number {
    return Math.max(...this.rows.map((row) => row.length));
  }

  /** Computes keys and values of all rows. */
  private async fillCache(): Promise<Float32Array> {
    const { longest } = this;
    const length = this.planned.promptLengths.find((candidate) => candidate >= longest);
    if (length === undefined) throw contextFull(longest, this.options.maxLength);
    this.rotary.useFor(longest);
    return this.run(
      this.rows,
      length,
      this.rows.map(() => 0),
      this.rows.map((row) => row.length),
    );
  }

  private async run(
    rows: readonly (readonly number[])[],
    length: number,
    start: readonly number[],
    counts: readonly number[],
  ): Promise<Float32Array> {
    const batch = this.options.batchSize;
    const { vocabSize } = this.options.spec;
    const ids = new Uint32Array(batch * length);
    rows.forEach((row, b) => ids.set(row, b * length));
    refuseUnknownIds(ids, vocabSize);
    this.memory.write(LEAF.ids, ids);
    // Sequences that are not in use stay at position 0 and are never read.
    this.memory.write(
      LEAF.start,
      Uint32Array.from({ length: batch }, (_, b) => start[b] ?? 0),
    );
    this.memory.write(
      LEAF.lastRows,
      Uint32Array.from({ length: batch }, (_, b) => b * length + (counts[b] ?? 1) - 1),
    );
    const name = programName(this.adapterOn, length);
    const [logits] = await this.memory.runAndRead(name, [this.planned.logits.get(name)!]);
    return logits!.subarray(0, rows.length * vocabSize);
  }

  async importParameters(tensors: readonly WeightTensor[]): Promise<void> {
    const { spec, lora } = this.options;
    if (!lora) throw new Error('this session has no adapter');
    checkTensors(tensors, adapterParameters(spec, lora));
    for (const tensor of tensors) this.memory.write(tensor.name, converted(tensor, 'f32'));
  }

  dispose(): void {
    this.memory.destroy();
  }
}

function contextFull(needed: number, capacity: number): GraftError {
  return new GraftError(
    'bad-config',
    `The conversation needs ${needed} tokens and the context holds ${capacity}: start a new one or allow a longer context.`,
  );
}
