/** What llama.cpp calls tensors and what the Hub calls them: one table for reading and for writing. */
import type { GgufArchitecture } from './architectures';

type LayerNames = GgufArchitecture['layerNames'];

const TOP: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

const LAYER: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_qkv: 'self_attn.qkv_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/** Names that mean something else in some families. */
const OTHERS: Readonly<Record<LayerNames, Readonly<Record<string, string>>>> = {
  plain: {},
  sandwiched: {
    post_attention_norm: 'post_attention_layernorm',
    ffn_norm: 'pre_feedforward_layernorm',
    post_ffw_norm: 'post_feedforward_layernorm',
  },
  fused: { ffn_up: 'mlp.gate_up_proj' },
};

function partsOf(layerNames: LayerNames): Readonly<Record<string, string>> {
  return { ...LAYER, ...OTHERS[layerNames] };
}

/** The Hub's name of a tensor; one that llama.cpp's models haven't keeps its own. */
export function hubName(name: string, { layerNames }: Pick<GgufArchitecture, 'layerNames'>): string {
  const [, layer, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined || part === undefined) return (Object.hasOwn(TOP, name) ? TOP[name] : undefined) ?? name;
  const names = partsOf(layerNames);
  return Object.hasOwn(names, part) ? `model.layers.${Number(layer)}.${names[part]}.${kind}` : name;
}

/** llama.cpp's name of a parameter of the model. */
export function ggufName(name: string, { layerNames }: Pick<GgufArchitecture, 'layerNames'>): string {
  const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const found =
    layer === undefined
      ? nameOf(TOP, name)
      : nameOf(partsOf(layerNames), part!) && `blk.${layer}.${nameOf(partsOf(layerNames), part!)}.${kind}`;
  if (found === undefined) throw new Error(`llama.cpp has no name for ${name}`);
  return found;
}

function nameOf(names: Readonly<Record<string, string>>, hub: string): string | undefined {
  return Object.keys(names).find((own) => names[own] === hub);
}
