/**
 * The one decoder-only transformer (Llama: Touvron et al. 2023, arXiv:2302.13971), written once and configured by a
 * spec. B batch, T tokens a sequence, C hidden size, H heads, D head size, V vocabulary; activations are [B·T, ·].
 */
import { layerLinears, type DecoderSpec, type LinearSpec } from '../../core/spec';
import type { Graph, Tensor } from '../graph';
import { embedding } from '../ops/embedding';
import { linear } from '../ops/matmul';
import { rmsNorm } from '../ops/rms_norm';
import { rope, type Rotary } from '../ops/rope';
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
  /** x · Wᵀ of one of the layer linears, with its bias and its adapter, plus `residual`. */
  project(x: Tensor, target: LinearSpec, residual?: Tensor): Tensor;
  /** Attention over q[B·T, H·D] and this layer's k and v. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor;
  /** Recompute each layer in the backward pass. */
  readonly checkpoint: boolean;
}

/** Hidden states after the last norm, [B·T, C], for ids[B·T] (u32). */
export function decoder(parts: DecoderParts, ids: Tensor): Tensor {
  const { graph, spec } = parts;
  let x = embedding(graph, ids, parts.parameter('model.embed_tokens.weight'));
  for (let layer = 0; layer < spec.numLayers; layer++) {
    const input = x;
    x = parts.checkpoint ? graph.checkpoint(() => block(parts, layer, input)) : block(parts, layer, input);
  }
  return rmsNorm(graph, x, parts.parameter('model.norm.weight'), spec.rmsNormEps);
}

/** Logits [N, V] of hidden states [N, C]; a tied head is the embedding table. */
export function head(parts: Pick<DecoderParts, 'graph' | 'spec' | 'parameter'>, hidden: Tensor): Tensor {
  const name = parts.spec.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  return linear(parts.graph, hidden, parts.parameter(name));
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
  const x = parts.project(parts.attend(layer, q, k, v), oProj, input);

  const g = norm(x, 'post_attention_layernorm');
  const activated = swiglu(graph, parts.project(g, gateProj), parts.project(g, upProj));
  return parts.project(activated, downProj, x);
}

type SevenLinears = [LinearSpec, LinearSpec, LinearSpec, LinearSpec, LinearSpec, LinearSpec, LinearSpec];
