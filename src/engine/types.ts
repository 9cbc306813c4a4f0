/**
 * The engine's face towards the recipes. `index.ts` exports the functions that make these; nothing else of the
 * engine is imported from outside.
 */
import type { KeepParameter, LoadStream, StateEntry, StateTensor, WeightStream, WeightTensor } from '../core/weights';
import type { DecoderSpec, LoraSpec } from '../core/spec';
import type { Int4Matrix } from '../core/int4';
import type { KernelChoiceStore } from '../core/kernel-choices';
import type { Profile } from '../core/profile';
import type { TeacherTokens } from '../core/teacher';
import type { GptqOptions, LayerView, Matrix } from './int4/types';
import type { ModelSetup, ViewOptions } from './options';

export type * from './int4/types';
export type * from './objectives/options';
export type * from './options';

/** Bytes of GPU memory by what they hold. */
export interface MemoryBytes {
  weights: number;
  adapter: number;
  gradients: number;
  optimizer: number;
  activations: number;
  workspace: number;
}

export interface MemoryPlan {
  readonly totalBytes: number;
  readonly bytes: MemoryBytes;
}

/** The views that were asked for. */
export type Views<V extends ViewOptions> = {
  readonly [K in keyof V & keyof ViewKinds]: ViewKinds[K];
};

interface ViewKinds {
  readonly train: TrainView;
  readonly forward: ForwardView;
  readonly decode: DecodeView;
  readonly score: ScoreView;
  readonly embed: EmbedView;
}

/** One owner of the weights on a device. Its views share weights, leaves and slots; what they do is done in turn. */
export interface Session<V extends ViewOptions> {
  readonly views: Views<V>;
  readonly plan: MemoryPlan;
  /** Bytes of every GPU buffer alive, by the ledger; equals `plan`. */
  readonly liveBytes: MemoryPlan;
  /**
   * Builds the pipelines and bind groups of every program, so that no step has to: a step allocates and compiles
   * nothing, and reads back its loss and norm alone. `report` hears how many kernels are compiled, of how many.
   */
  compile(report?: (kernels: number, totalKernels: number) => void): Promise<void>;
  /**
   * Replaces the adapter's tensors, or those that are trained; every one must be there with its shape, else `bad-file`.
   * What no view reads, as embeddings don't read a head, is checked and not kept. Work asked for before is done before.
   */
  importParameters(tensors: readonly WeightTensor[]): Promise<void>;
  dispose(): void;
}

/** A micro-batch: `rows` sequences, right-padded to one length by the session. Labels are -100 where not trained. */
export interface Batch {
  readonly inputIds: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  /**
   * Lengths of the documents that stand end to end in each row; absent where every row is one. They don't see each
   * other, and the first label of each, which has nothing before it to be predicted from, doesn't count.
   */
  readonly documents?: readonly (readonly number[])[];
  /** For `dpo` with a reference of `rows`: the log-probability of each row's labels together, in nats. */
  readonly referenceLogProbs?: readonly number[];
  /** For `weighted-targets`, by row and position: what may come next, and the weight of each. */
  readonly targets?: readonly (readonly WeightedTargets[])[];
  /** For `distill`, by row. */
  readonly teacher?: readonly TeacherTokens[];
}

export interface WeightedTargets {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

export interface StepResult {
  /**
   * Of cross entropy, the sum of token losses over all micro-batches of the step, divided by all their unmasked labels; of
   * preferences, the mean over its micro-batches of the mean over their pairs.
   */
  readonly loss: number;
  /** What the objective logs, by the names that TRL gives it: means over micro-batches. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Global L2 norm of the gradients before clipping. */
  readonly gradNorm: number;
}

export interface EvaluationResult {
  /** Sum of the losses of what the batch counts, and how much that is: unmasked labels, or pairs. */
  readonly lossSum: number;
  readonly count: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export interface TrainView {
  /**
   * One optimiser step over its micro-batches. `step` counts from 0 and seeds the dropout masks together with
   * `TrainViewOptions.seed`; AdamW's bias correction uses `step + 1`.
   * Throws `diverged` for a loss or norm that is not finite (the weights then still hold the step before), `bad-data`
   * where no label is unmasked, `device-lost`.
   */
  step(microBatches: readonly Batch[], step: number, learningRate: number): Promise<StepResult>;
  /** No dropout, nothing changes. A step under way ends before. */
  evaluate(batch: Batch): Promise<EvaluationResult>;
  /** Makes what is trained, as it is now, the reference of an objective with a frozen copy; it starts as the first. */
  keepReference(): Promise<void>;
  /** Trained tensors under PEFT's names (adapter) or Hub names (full training). */
  exportParameters(): Promise<WeightTensor[]>;
  /**
   * Everything that changes while training, beside the trainer's own counters: trained tensors, both moments, and the
   * frozen copy (`.reference`) where the objective has one. They are read piece by piece; read them all before the next
   * step. Names end in `.exp_avg`, `.exp_avg_sq` for moments; those in 8 bits are codes, and the scales of their blocks
   * end in `.absmax`.
   */
  stateEntries(): StateEntry[];
  /** Throws `bad-file`, and nothing has changed, where something is missing, of another shape, or stored otherwise. */
  importState(state: readonly (StateTensor | StateEntry)[]): Promise<void>;
}

export interface ForwardView {
  /**
   * Loss where a label is unmasked, logits (f32 [rows, length, vocab], those of virtual tokens before a row included), and
   * the gradients that were planned for.
   */
  run(batch: Batch): Promise<ForwardResult>;
}

export interface ForwardResult {
  readonly logits: Float32Array;
  readonly loss?: number;
  readonly gradients?: WeightTensor[];
}

export interface AdapterChoice {
  /** False asks the base model. */
  readonly useAdapter?: boolean;
}

export interface ScoreView {
  /**
   * log p(label | the tokens before it) in nats: f32 by row, as long as that; 0 where there is no label, and for the
   * first token of a document, which nothing but virtual tokens may stand before. Throws `bad-data` for an id outside the vocabulary.
   */
  run(batch: Batch, options?: AdapterChoice): Promise<Float32Array[]>;
}

/** Rows to be embedded, right-padded to one length by the session. */
export interface EmbedRows {
  readonly inputIds: readonly (readonly number[])[];
  /** Which tokens count in the pooling, by row; all where absent. They see each other all the same. */
  readonly mask?: readonly (readonly boolean[])[];
}

export interface EmbedOptions extends AdapterChoice {
  /** The mean over the tokens that count, or the last of them. */
  readonly pooling: 'mean' | 'last';
}

export interface EmbedView {
  /** Hidden states after the last norm, pooled by row: f32 [rows, C]. */
  run(rows: EmbedRows, options: EmbedOptions): Promise<Float32Array>;
  /**
   * The same with the gradient of what is trained, as far as embeddings depend on it, from that of the embeddings, f32
   * [rows, C]. A step under way ends before, as both add up in the same leaves.
   */
  differentiate(
    rows: EmbedRows,
    options: Pick<EmbedOptions, 'pooling'>,
    dEmbeddings: Float32Array,
  ): Promise<EmbedGradients>;
}

export interface EmbedGradients {
  readonly embeddings: Float32Array;
  readonly gradients: WeightTensor[];
}

/**
 * A KV cache of `batchSize` slots, counted from 0, each for a sequence of its own: what it answers depends on no other.
 * A slot keeps what it holds until another sequence is admitted. Throws `bad-config` where a sequence outgrows
 * `maxLength`, `bad-data` for an id outside the vocabulary.
 */
export interface DecodeView {
  /** Tokens that went through the model so far, padding aside. */
  readonly computedTokens: number;
  /**
   * Puts a sequence of at least one token into a slot, while those in other slots stay, and returns the logits after its
   * last token, f32 [vocab].
   */
  admit(slot: number, ids: readonly number[], options?: AdmitOptions): Promise<Float32Array>;
  /** Appends a token to the sequence in each of the given slots. Returns their next logits, f32 [vocab] each, by slot. */
  decode(tokens: ReadonlyMap<number, number>): Promise<Map<number, Float32Array>>;
  /** How many of the first tokens of a sequence `admit` would find in a slot, and not compute again. */
  cachedPrefix(slot: number, ids: readonly number[], useAdapter?: boolean): number;
}

export interface AdmitOptions extends AdapterChoice {
  /**
   * False computes the whole sequence, though the slot may hold its beginning: what an earlier sequence had computed
   * token by token may differ from it in the last bits.
   */
  readonly reusePrefix?: boolean;
}

/** What the adapter says of itself, for logs and for the model card. */
export interface DeviceInfo {
  readonly vendor: string;
  readonly architecture: string;
  /** Empty where the WebGPU implementation names no adapter, as Firefox does. */
  readonly description: string;
  readonly software: boolean;
  readonly features: readonly string[];
  readonly maxBufferBytes: number;
  readonly maxBindingBytes: number;
  /** Bytes that all buffers together may have, where that is known: WebGPU doesn't say it. */
  readonly memoryBytes?: number;
}

/** How a device is opened, and what it keeps to though its adapter could do more. */
export interface DeviceOptions {
  /** Features that the device goes without, though the adapter has them. */
  readonly withoutFeatures?: readonly string[];
  /** Keep to WebGPU's default limits, which every adapter has. */
  readonly defaultLimits?: boolean;
  /** Pretend that no buffer and no binding may be larger, in bytes (tests). */
  readonly maxBindingBytes?: number;
  /** Memory that a software adapter may take, in bytes; past it, such a one takes the process down. */
  readonly softwareMemoryBytes?: number;
  /** A device was lost before this one: its adapter may need some seconds to come back. */
  readonly afterLoss?: boolean;
  /** Where choices between kernels are kept, so that they are measured once only. */
  readonly kernelChoices?: KernelChoiceStore;
}

/** A GPU device with its ledger. All sessions of a device share its pipelines. */
export interface Engine {
  readonly info: DeviceInfo;
  /** Resolves with the reason when the device is lost. */
  readonly lost: Promise<string>;
  /**
   * A session of a model with the views that are asked for. It takes weights as a file has them, and leaves that an
   * earlier session of the same types gave to its `keep`. Throws `bad-file` where the stream is not this model's weights.
   */
  createSession<V extends ViewOptions>(
    model: ModelSetup,
    views: V,
    weights: LoadStream,
    keep?: KeepParameter,
  ): Promise<Session<V>>;
  /**
   * The stream with the adapter merged in: each targeted linear becomes W + s·B·A in its own dtype, summed in f32;
   * the rest passes through, all of them whole. Throws `bad-file` where the adapter's tensors don't fit the model.
   */
  mergeAdapter(
    spec: DecoderSpec,
    lora: LoraSpec,
    adapter: readonly WeightTensor[],
    weights: WeightStream,
  ): AsyncIterable<WeightTensor>;
  /** One layer of a model by itself, over rows of `length` tokens. Throws `out-of-memory`. */
  openLayer(spec: DecoderSpec, layer: number, length: number): Promise<LayerView>;
  /** A linear's weights in 4 bits, by GPTQ. Throws `bad-data` where its inputs are no base for it, `out-of-memory`. */
  quantizeGptq(matrix: Matrix, options: GptqOptions): Promise<Int4Matrix>;
  /** What outputs are off, Σ ‖d · x‖², by weights [out, in] that are so much off, over inputs with these products. */
  outputError(differences: Matrix, gram: Float32Array): Promise<number>;
  /**
   * Runs `work` with every kernel timed, which makes it slower; what it computes stays the same. One at a time.
   * `clock` (milliseconds) times kernels from outside, where the device's own clock will not do.
   */
  profile<T>(work: () => Promise<T>, clock?: () => number): Promise<{ value: T; profile: Profile }>;
  /** Flops a second of products in f32, measured in a moment. Throws `out-of-memory`. */
  measureRate(): Promise<number>;
  destroy(): void;
}
