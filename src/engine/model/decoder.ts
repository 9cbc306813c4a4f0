/**
 * The one decoder-only transformer (Llama: Touvron et al. 2023, arXiv:2302.13971), written once and configured by a
 * spec. B batch, T tokens a sequence, C hidden size, H heads, D head size, V vocabulary; activations are [B·T, ·].
 */
import { EMBEDDING, HEAD, layerLinears, type DecoderSpec, type LinearSpec } from '../../core/spec';
import type { Graph, Tensor } from '../graph';
import type { Checkpointing } from '../types';
import { concatColumns } from '../ops/columns';
import { embedding } from '../ops/embedding';
import { linear } from '../ops/matmul';
import { rmsNorm } from '../ops/rms_norm';
import { rope, type Rotary } from '../ops/rope';
import { expand, round } from '../ops/round';
import { concatRows, splitRows } from '../ops/rows';
import { swiglu } from '../ops/swiglu';

/** What differs between training and decoding, with and without an adapter. */
export interface DecoderParts {
  readonly graph: Graph;
  readonly spec: DecoderSpec;
  /** Tokens a sequence in this graph. */
  readonly length: number;
  readonly rotary: Rotary;
  /** The leaf of a base parameter, by Hub name. */
  parameter(name: string): Tensor;
  /** The leaves of the embedding table or the head, which may be stored in parts of whole rows. */
  table(name: string): readonly Tensor[];
  /**
   * x · Wᵀ of one of the layer linears, with its bias and its adapter, plus `residual`; `firstRow` is where x starts in
   * the batch.
   */
  project(x: Tensor, target: LinearSpec, place?: { residual?: Tensor; firstRow?: number }): Tensor;
  /** Attention over q[B·T, H·D] and this layer's k and v. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor;
  /** Recompute each layer in the backward pass. */
  readonly checkpoint: boolean;
  readonly checkpointing: Checkpointing;
}

/** Hidden states after the last norm, [B·T, C], for ids[B·T] (u32). */
export function decoder(parts: DecoderParts, ids: Tensor): Tensor {
  const { graph, spec } = parts;
  const x = layers(parts, embedding(graph, ids, parts.table(EMBEDDING)));
  return rmsNorm(graph, x, parts.parameter('model.norm.weight'), spec.rmsNormEps);
}

/** All blocks, as checkpoint segments where asked for. */
function layers(parts: DecoderParts, input: Tensor): Tensor {
  const { graph, spec, checkpoint, checkpointing } = parts;
  if (!checkpoint) {
    let x = input;
    for (let layer = 0; layer < spec.numLayers; layer++) x = block(parts, layer, x);
    return x;
  }
  const { layersPerSegment = 1, dtype = 'f32' } = checkpointing;
  const rounds = dtype === 'bf16';
  const kept = (x: Tensor) => (rounds ? round(graph, x) : x);
  const segment = (layer: number, from: Tensor) =>
    graph.checkpoint(() => block(parts, layer, rounds ? expand(graph, from) : from));

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

/** The head's weight; a tied head is the embedding table. */
export function headTable({ spec, table }: Pick<DecoderParts, 'spec' | 'table'>): readonly Tensor[] {
  return table(spec.tieWordEmbeddings ? EMBEDDING : HEAD);
}

/** Logits [N, V] of hidden states [N, C]. */
export function head(parts: Pick<DecoderParts, 'graph' | 'spec' | 'table'>, hidden: Tensor): Tensor {
  const logits = headTable(parts).map((part) => linear(parts.graph, hidden, part));
  return logits.length === 1 ? logits[0]! : concatColumns(parts.graph, logits);
}

/** One pre-norm block: x + attention(norm(x)), then x + mlp(norm(x)). */
function block(parts: DecoderParts, layer: number, input: Tensor): Tensor {
  const { graph, spec, length, rotary } = parts;
  const norm = (x: Tensor, name: string) =>
    rmsNorm(graph, x, parts.parameter(`model.layers.${layer}.${name}.weight`), spec.rmsNormEps);
  const [qProj, kProj, vProj, oProj, gateProj, upProj, downProj] = layerLinears(spec, layer) as SevenLinears;

  const h = norm(input, 'input_layernorm');
  const q = rope(graph, parts.project(h, qProj), rotary, { length, heads: spec.numHeads });
  const k = rope(graph, parts.project(h, kProj), rotary, { length, heads: spec.numKeyValueHeads });
  const v = parts.project(h, vProj);
  const x = parts.project(parts.attend(layer, q, k, v), oProj, { residual: input });

  return inChunks(parts, x, (rows, firstRow) => {
    const g = norm(rows, 'post_attention_layernorm');
    const place = { firstRow };
    const activated = swiglu(graph, parts.project(g, gateProj, place), parts.project(g, upProj, place));
    return parts.project(activated, downProj, { firstRow, residual: rows });
  });
}

/** f of all rows of x, or of at most `mlpRows` at a time, so that what is wide in it is never whole. */
function inChunks(parts: DecoderParts, x: Tensor, f: (rows: Tensor, first: number) => Tensor): Tensor {
  const { graph, checkpointing } = parts;
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

type SevenLinears = [LinearSpec, LinearSpec, LinearSpec, LinearSpec, LinearSpec, LinearSpec, LinearSpec];
