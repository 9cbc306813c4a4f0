/**
 * The one decoder-only transformer (Llama: Touvron et al. 2023, arXiv:2302.13971), written once and configured by a
 * spec. B batch, T tokens a sequence, C hidden size, H heads, D head size, V vocabulary; activations are [B·T, ·].
 */
import { EMBEDDING, HEAD, layerLinears, moduleName, type DecoderSpec, type LinearSpec } from '../../core/spec';
import type { Graph, Tensor } from '../graph/graph';
import type { Checkpointing } from '../types';
import { add } from '../ops/add';
import { concatColumns, splitColumns } from '../ops/columns';
import { embedding } from '../ops/embedding';
import { fusedGlu, glu } from '../ops/glu';
import { linear } from '../ops/matmul';
import { rmsNorm } from '../ops/rms_norm';
import { rope, type Rotary } from '../ops/rope';
import { expand, round } from '../ops/round';
import { concatRows, splitRows } from '../ops/rows';
import { softcap } from '../ops/softcap';
import { replaceLogits, type TokenRows } from '../ops/token_rows';

/** What differs between training and decoding, with and without an adapter. */
export interface DecoderContext {
  readonly graph: Graph;
  readonly spec: DecoderSpec;
  /** Tokens a sequence in this graph. */
  readonly length: number;
  /** The rotary embedding of a layer; undefined where it has none. */
  rotary(layer: number): Rotary | undefined;
  /** What embeddings are multiplied by. */
  readonly embeddingScale: number;
  /** The leaf of a base parameter, by Hub name. */
  parameter(name: string): Tensor;
  /** The leaves that tokens are embedded by, in parts of whole rows: those of the table, and of virtual tokens after it. */
  embedding(): readonly Tensor[];
  /** The leaves of the embedding table or the head, tied or not; they may be stored in parts of whole rows. */
  table(name: string): readonly Tensor[];
  /** Rows of tokens that stand in the place of those of a table. */
  tokens(name: string): TokenRows | undefined;
  /**
   * x · Wᵀ of one of the layer linears, with its bias and its adapter, plus `residual`; `firstRow` is where x starts in
   * the batch.
   */
  project(x: Tensor, target: LinearSpec, place?: { residual?: Tensor | undefined; firstRow?: number }): Tensor;
  /** Attention over q[B·T, H·D] and this layer's k and v. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor;
  /** Recompute each layer in the backward pass. */
  readonly checkpoint: boolean;
  readonly checkpointing: Checkpointing;
}

/** Hidden states after the last norm, [B·T, C], for ids[B·T] (u32). */
export function decoder(context: DecoderContext, ids: Tensor): Tensor {
  const { graph, embeddingScale, tokens } = context;
  const x = layers(context, embedding(graph, ids, context.embedding(), embeddingScale, tokens(EMBEDDING)));
  return norm(context, x, 'model.norm');
}

function norm({ graph, spec, parameter }: DecoderContext, x: Tensor, name: string): Tensor {
  return rmsNorm(graph, x, parameter(`${name}.weight`), spec.rmsNormEps, spec.normOffset);
}

/** All blocks, as checkpoint segments where asked for. */
function layers(context: DecoderContext, input: Tensor): Tensor {
  const { graph, spec, checkpoint, checkpointing } = context;
  if (!checkpoint) {
    let x = input;
    for (let layer = 0; layer < spec.numLayers; layer++) x = block(context, layer, x);
    return x;
  }
  const { layersPerSegment = 1, dtype = 'f32' } = checkpointing;
  const rounds = dtype === 'bf16';
  const kept = (x: Tensor) => (rounds ? round(graph, x) : x);
  const segment = (layer: number, from: Tensor) =>
    graph.checkpoint(() => block(context, layer, rounds ? expand(graph, from) : from));

  let x = kept(input);
  for (let first = 0; first < spec.numLayers; first += layersPerSegment) {
    const end = Math.min(first + layersPerSegment, spec.numLayers);
    const run = () => {
      for (let layer = first; layer < end; layer++) {
        const y = segment(layer, x);
        x = layer + 1 < spec.numLayers ? kept(y) : y;
      }
    };
    if (end - first > 1) graph.checkpoint(run);
    else run();
  }
  return x;
}

/** The head's weight; that of a tied head is the embedding table. */
export function headTable({ table }: Pick<DecoderContext, 'table'>): readonly Tensor[] {
  return table(HEAD);
}

/** The rows that stand in the place of some of the head's. */
export function headTokens({ tokens }: Pick<DecoderContext, 'tokens'>): TokenRows | undefined {
  return tokens(HEAD);
}

/** Logits [N, V] of hidden states [N, C]. */
export function head(context: Pick<DecoderContext, 'graph' | 'spec' | 'table' | 'tokens'>, hidden: Tensor): Tensor {
  const { graph, spec } = context;
  const products = headTable(context).map((part) => linear(graph, hidden, part));
  const ofTable = products.length === 1 ? products[0]! : concatColumns(graph, products);
  const tokens = headTokens(context);
  const logits = tokens ? replaceLogits(graph, ofTable, hidden, tokens) : ofTable;
  return spec.logitSoftcap === undefined ? logits : softcap(graph, logits, spec.logitSoftcap);
}

/**
 * One block: x + attention(norm(x)), then x + mlp(norm(x)); with sandwich norms x + norm(attention(norm(x))), and so on.
 */
function block(context: DecoderContext, layer: number, input: Tensor): Tensor {
  return mlpHalf(context, layer, attentionHalf(context, layer, input));
}

/** The half of a block that is attention, [B·T, C]. */
export function attentionHalf(context: DecoderContext, layer: number, input: Tensor): Tensor {
  const { graph, spec } = context;
  const name = (part: string) => `model.layers.${layer}.${part}`;
  const normed = norm(context, input, name('input_layernorm'));
  if (!spec.sandwichNorms) return selfAttention(context, layer, normed, input);
  const attended = selfAttention(context, layer, normed);
  return add(graph, input, norm(context, attended, name('post_attention_layernorm')));
}

/** The half that is the MLP. */
export function mlpHalf(context: DecoderContext, layer: number, x: Tensor): Tensor {
  const { graph, spec } = context;
  const name = (part: string) => `model.layers.${layer}.${part}`;
  if (!spec.sandwichNorms) {
    return inChunks(context, x, (rows, firstRow) =>
      mlp(context, layer, norm(context, rows, name('post_attention_layernorm')), { firstRow, residual: rows }),
    );
  }
  return inChunks(context, x, (rows, firstRow) => {
    const y = mlp(context, layer, norm(context, rows, name('pre_feedforward_layernorm')), { firstRow });
    return add(graph, rows, norm(context, y, name('post_feedforward_layernorm')));
  });
}

/** The linears of a layer by the names that their modules have. */
function linears(spec: DecoderSpec, layer: number): (module: string) => LinearSpec {
  const byName = new Map(layerLinears(spec, layer).map((target) => [moduleName(target), target]));
  return (module) => byName.get(module)!;
}

/** Attention of normed rows h[B·T, C], through its last linear, plus `residual`. */
function selfAttention(context: DecoderContext, layer: number, h: Tensor, residual?: Tensor): Tensor {
  const { graph, spec, length } = context;
  const { numHeads, numKeyValueHeads, headDim } = spec;
  const linear = linears(spec, layer);
  const rotary = context.rotary(layer);
  const prepared = (x: Tensor, heads: number, headNorm: string) => {
    const normed = spec.queryKeyNorms ? norm(context, x, `model.layers.${layer}.self_attn.${headNorm}`) : x;
    return rotary ? rope(graph, normed, rotary, { length, heads }) : normed;
  };

  const [q, k, v] = (
    spec.fusedProjections
      ? splitColumns(
          graph,
          context.project(h, linear('qkv_proj')),
          [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headDim),
        )
      : ['q_proj', 'k_proj', 'v_proj'].map((module) => context.project(h, linear(module)))
  ) as [Tensor, Tensor, Tensor];
  const attended = context.attend(layer, prepared(q, numHeads, 'q_norm'), prepared(k, numKeyValueHeads, 'k_norm'), v);
  return context.project(attended, linear('o_proj'), { residual });
}

/** The gated MLP of normed rows g, plus `residual`. */
function mlp(
  context: DecoderContext,
  layer: number,
  g: Tensor,
  place: { firstRow: number; residual?: Tensor },
): Tensor {
  const { graph, spec } = context;
  const { firstRow } = place;
  const linear = linears(spec, layer);
  const activation = spec.activation ?? 'silu';
  const wide = (module: string) => context.project(g, linear(module), { firstRow });
  const activated = spec.fusedProjections
    ? fusedGlu(graph, activation, wide('gate_up_proj'))
    : glu(graph, activation, wide('gate_proj'), wide('up_proj'));
  return context.project(activated, linear('down_proj'), place);
}

/** f of all rows of x, or of at most `mlpRows` at a time, so that what is wide in it is never whole. */
function inChunks(context: DecoderContext, x: Tensor, f: (rows: Tensor, first: number) => Tensor): Tensor {
  const { graph, checkpointing } = context;
  const [total] = x.shape as [number];
  const { mlpRows = total } = checkpointing;
  if (mlpRows >= total) return f(x, 0);
  const firsts = Array.from({ length: Math.ceil(total / mlpRows) }, (_, i) => i * mlpRows);
  const chunks = splitRows(
    graph,
    x,
    firsts.map((first) => Math.min(mlpRows, total - first)),
  );
  return concatRows(
    graph,
    chunks.map((rows, i) => graph.checkpoint(() => f(rows, firsts[i]!))),
  );
}
