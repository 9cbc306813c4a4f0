/** What a session is made from: its model, and the views that it is asked for. */
import type { FloatDType, QuantizedDType } from '../core/dtypes';
import type { AdapterSpec } from '../core/adapter';
import type { DecoderSpec } from '../core/spec';
import type { ObjectiveOptions } from './objectives/options';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** How moments are kept: f32 (where absent), or 8-bit codes with a scale for every 256 of them. */
  readonly moments?: '32bit' | '8bit';
}

/** Which base weights are quantised as they are loaded; the rest stay in `weightDType`. */
export interface Quantization {
  /** The layers' linears, where `canQuantize` allows it. */
  readonly linears?: QuantizedDType;
  /** The embedding table and the head. */
  readonly embeddings?: 'q8';
}

/** How much gradient checkpointing keeps, beyond the input of each layer in f32. */
export interface Checkpointing {
  /**
   * Layers of a segment, 1 where absent. Above, each layer is a segment within the segment, and its forward pass is
   * computed once more: of L layers only L/n + n inputs are kept at once.
   */
  readonly layersPerSegment?: number | undefined;
  /**
   * How the inputs of layers are kept, f32 where absent: bf16 halves them. Training goes on from the rounded values, so
   * that recomputing gives the same.
   */
  readonly dtype?: 'f32' | 'bf16' | undefined;
  /**
   * Tokens of the micro-batch that an MLP works on at once, all where absent. Each chunk is a segment of its own, with
   * and without gradient checkpointing.
   */
  readonly mlpRows?: number | undefined;
}

/** The model of a session: how its weights are kept, and the adapter in its graphs, which decoding may switch off. */
export interface ModelSetup extends AdapterSpec {
  readonly spec: DecoderSpec;
  /** How base weights are stored on the GPU, but for those that are quantised or trained. */
  readonly weightDType: FloatDType;
  readonly quantization?: Quantization | undefined;
  /**
   * Whether a parameter of the model itself, by its Hub name, is trained, and so kept in f32. Absent, all are where there
   * is no adapter, and none beside one.
   */
  readonly trains?: ((parameter: string) => boolean) | undefined;
}

/** Rows of a micro-batch, the padded lengths (tokens) that batches may have, ascending, and how rows are filled. */
export interface BatchShape {
  readonly batchSize: number;
  readonly lengths: readonly number[];
  /** Whether a row may hold several documents, end to end. */
  readonly packing?: boolean;
}

/** What a backward pass computes again. */
interface Recomputation {
  /** Compute layers again in the backward pass rather than keep their activations. */
  readonly gradientCheckpointing: boolean;
  readonly checkpointing?: Checkpointing | undefined;
}

export interface TrainViewOptions extends BatchShape, Recomputation {
  /** Cross entropy of the labels where absent. */
  readonly objective?: ObjectiveOptions | undefined;
  /** Seed of the adapter's initial A matrices and of the dropout masks. */
  readonly seed: number;
  readonly adamw: AdamWOptions;
  readonly maxGradNorm: number;
}

/** One pass over rows, with every logit. */
export interface ForwardViewOptions extends BatchShape, Partial<Recomputation> {
  /** Of every parameter of the model, or of the adapter where there is one. */
  readonly gradients: boolean;
}

export interface DecodeViewOptions {
  /** Sequences decoded at once. */
  readonly batchSize: number;
  /** Positions of the KV cache: prompt and answer together. */
  readonly maxLength: number;
}

/** Log-probabilities of labels. */
export type ScoreViewOptions = BatchShape;

/** Embeddings of rows, each one document. */
export interface EmbedViewOptions extends Omit<BatchShape, 'packing'>, Partial<Recomputation> {
  /** Of what is trained. */
  readonly gradients: boolean;
}

/** What a session is to be able to do: all that fixes its shapes, and so its memory, before a byte is allocated. */
export interface ViewOptions {
  readonly train?: TrainViewOptions;
  readonly forward?: ForwardViewOptions;
  readonly decode?: DecodeViewOptions;
  readonly score?: ScoreViewOptions;
  readonly embed?: EmbedViewOptions;
}
