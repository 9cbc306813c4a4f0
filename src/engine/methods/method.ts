/**
 * What a way of training is to the rest of the engine: its tensors, where they start, and what it changes in a forward pass.
 * A method is a file, and `methodOf` chooses among them. The next one names its tensors in `core/spec.ts`, as files of
 * adapters know them too, and has a case in `methodOf`. Where it changes something else than linears, parameters and what
 * stands before a sequence (keys and values of a layer, as prefix tuning does), that place becomes a function of this
 * interface beside `project`, which the decoder's context asks and `full` leaves as it is.
 */
import type { LinearSpec, ParameterSpec, TokenRowsSpec } from '../../core/spec';
import type { Graph, Tensor } from '../graph/graph';
import type { TokenRows } from '../ops/token_rows';

export interface Method {
  /** The tensors that it adds to a model, under PEFT's names, in the order of the forward pass. They are f32. */
  readonly parameters: readonly ParameterSpec[];
  /** Those of them that stand in the place of parameters of the model, by the Hub names of these. */
  readonly replaced: ReadonlyMap<string, ParameterSpec>;
  /** Those of them that stand in the place of rows of a table of the model, by its Hub name. */
  readonly tokenRows: ReadonlyMap<string, TokenRowsSpec>;
  /** Ids of tokens that its graphs read as leaves, by the name of the tensor that they go with. */
  readonly tokenIds: ReadonlyMap<string, readonly number[]>;
  /**
   * The one of them that has the embeddings of tokens before every sequence, a row each: they are the tokens past the
   * vocabulary.
   */
  readonly virtualTokens?: ParameterSpec;
  /** Whether it trains the model's own parameters, where nothing says which. */
  readonly trainsModel: boolean;
  /** What of its tensors starts at something else than zero, drawn from the run's seed, by name. */
  initialValues(seed: number): Map<string, Float32Array>;
  /** Adds to its zeroed leaves what they start from where that takes the weights; absent where nothing does. */
  readonly initialize?: (graph: Graph, leaves: MethodLeaves) => void;
  /**
   * Writes what follows from weights and its tensors alone into `derived` leaves; absent where nothing does. A session runs
   * it once whenever these have changed, and not in every pass.
   */
  readonly derive?: (graph: Graph, leaves: MethodLeaves) => void;
  /** x · Wᵀ of a linear, as the method changes it, plus `residual`; without the linear's bias. */
  project(context: ProjectContext, x: Tensor, target: LinearSpec, residual?: Tensor): Tensor;
}

/** The leaves of a graph, as a method asks for them. */
export interface MethodLeaves {
  /** A parameter of the model, by its Hub name, or what stands in its place. */
  weight(name: string): Tensor;
  /** The leaves of a parameter of the model itself, which may be stored in parts. */
  original(name: string): Tensor[];
  /** The leaves of what stands in its place. */
  table(name: string): Tensor[];
  /** The rows of tokens that stand in the place of those of a table. */
  tokens(name: string): TokenRows | undefined;
  /** The method's `tokenIds` of a tensor, u32. */
  tokenIds(tensor: string): Tensor;
  /** A tensor of the method, by PEFT's name. */
  adapter(name: string, shape: readonly number[]): Tensor;
  /** What `derive` wrote, by a name of the method's own. */
  derived(name: string, shape: readonly number[]): Tensor;
}

export interface ProjectContext {
  readonly graph: Graph;
  readonly leaves: MethodLeaves;
  /** Seed of dropout masks; absent where nothing is dropped (evaluation, decoding). */
  readonly dropoutSeed?: Tensor | undefined;
  /** Where x is some rows of a larger batch: the first of them. */
  readonly firstRow: number;
}
