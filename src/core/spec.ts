/**
 * The one decoder-only transformer, as data. A family (src/formats/families) reads a Hub config.json into this spec;
 * the engine builds the graph from it and knows nothing of families.
 */
export interface DecoderSpec {
  /** `model_type` of the config, for messages. */
  readonly family: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly maxPositions: number;
  readonly tieWordEmbeddings: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly rope: RopeSpec;
}

/** Rotary position embedding: default, or Llama 3's piecewise scaling of the inverse frequencies. */
export type RopeSpec =
  | { readonly type: 'default'; readonly theta: number }
  | {
      readonly type: 'llama3';
      readonly theta: number;
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    };

/** A linear of the decoder: its Hub name without `.weight`, and its shape [out, in]. */
export interface LinearSpec {
  /** e.g. `model.layers.0.self_attn.q_proj` */
  readonly name: string;
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly bias: boolean;
}

/** The seven linears of every layer, in forward order, under the names the Hub and PEFT use. */
export function layerLinears(spec: DecoderSpec, layer: number): LinearSpec[] {
  const prefix = `model.layers.${layer}`;
  const q = spec.numHeads * spec.headDim;
  const kv = spec.numKeyValueHeads * spec.headDim;
  const attention = (name: string, outFeatures: number, inFeatures: number): LinearSpec => ({
    name: `${prefix}.self_attn.${name}`,
    outFeatures,
    inFeatures,
    bias: spec.attentionBias,
  });
  const mlp = (name: string, outFeatures: number, inFeatures: number): LinearSpec => ({
    name: `${prefix}.mlp.${name}`,
    outFeatures,
    inFeatures,
    bias: spec.mlpBias,
  });
  return [
    attention('q_proj', q, spec.hiddenSize),
    attention('k_proj', kv, spec.hiddenSize),
    attention('v_proj', kv, spec.hiddenSize),
    attention('o_proj', spec.hiddenSize, q),
    mlp('gate_proj', spec.intermediateSize, spec.hiddenSize),
    mlp('up_proj', spec.intermediateSize, spec.hiddenSize),
    mlp('down_proj', spec.hiddenSize, spec.intermediateSize),
  ];
}

/** A parameter of the base model: Hub name and shape. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Names of the tables, one row a token of the vocabulary. They are so large that the GPU holds them in parts. */
export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';

/** Every parameter of the model, in the order of the forward pass. Tied heads have no `lm_head.weight`. */
export function parameters(spec: DecoderSpec): ParameterSpec[] {
  const list: ParameterSpec[] = [{ name: EMBEDDING, shape: [spec.vocabSize, spec.hiddenSize] }];
  for (let layer = 0; layer < spec.numLayers; layer++) {
    const norm = (name: string) => ({ name: `model.layers.${layer}.${name}.weight`, shape: [spec.hiddenSize] });
    const linears = layerLinears(spec, layer).flatMap((linear) => [
      { name: `${linear.name}.weight`, shape: [linear.outFeatures, linear.inFeatures] },
      ...(linear.bias ? [{ name: `${linear.name}.bias`, shape: [linear.outFeatures] }] : []),
    ]);
    list.push(norm('input_layernorm'), ...linears, norm('post_attention_layernorm'));
  }
  list.push({ name: 'model.norm.weight', shape: [spec.hiddenSize] });
  if (!spec.tieWordEmbeddings) list.push({ name: HEAD, shape: [spec.vocabSize, spec.hiddenSize] });
  return list;
}

/** What a LoRA adapter adds (PEFT's LoraConfig, the fields Graft knows). */
export interface LoraSpec {
  readonly r: number;
  readonly alpha: number;
  readonly dropout: number;
  /** Last path component of each targeted linear (`q_proj`), in PEFT's sense. */
  readonly targetModules: readonly string[];
  readonly useRslora: boolean;
  readonly useDora: boolean;
}

/** PEFT's scaling: alpha / r, or alpha / sqrt(r) with rsLoRA (Kalajdzievski 2023, arXiv:2312.03732). */
export function loraScaling(lora: LoraSpec): number {
  return lora.useRslora ? lora.alpha / Math.sqrt(lora.r) : lora.alpha / lora.r;
}

/** The linears of the model that the adapter targets, in forward order. */
export function targetedLinears(spec: DecoderSpec, lora: LoraSpec): LinearSpec[] {
  const targets = new Set(lora.targetModules);
  return Array.from({ length: spec.numLayers }, (_, layer) => layerLinears(spec, layer))
    .flat()
    .filter((linear) => targets.has(linear.name.slice(linear.name.lastIndexOf('.') + 1)));
}

/** The adapter's tensors under PEFT's names in `adapter_model.safetensors`, in forward order. */
export function adapterParameters(spec: DecoderSpec, lora: LoraSpec): ParameterSpec[] {
  return targetedLinears(spec, lora).flatMap((linear) => {
    const prefix = `base_model.model.${linear.name}`;
    return [
      { name: `${prefix}.lora_A.weight`, shape: [lora.r, linear.inFeatures] },
      { name: `${prefix}.lora_B.weight`, shape: [linear.outFeatures, lora.r] },
      ...(lora.useDora ? [{ name: `${prefix}.lora_magnitude_vector`, shape: [linear.outFeatures] }] : []),
    ];
  });
}
