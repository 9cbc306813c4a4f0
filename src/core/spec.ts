/**
 * The one decoder-only transformer, as data. A family (src/formats/families) reads a Hub config.json into this spec;
 * the engine builds the graph from it and knows nothing of families. Fields that may be absent are what some families
 * add to Llama.
 */
export interface DecoderSpec {
  /** `model_type` of the config. */
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
  /** Of all four projections, or of those of queries, keys and values alone (Qwen 2). */
  readonly attentionBias: boolean | 'qkv';
  readonly mlpBias: boolean;
  /** Queries, keys and values come from one linear, gate and up from another (Phi-3). */
  readonly fusedProjections?: boolean;
  /** What the gate goes through; absent, it is silu. `gelu_tanh` is GELU in its tanh form (Gemma). */
  readonly activation?: 'silu' | 'gelu_tanh';
  /** RMS norms over each head of queries and keys, before they are rotated (Qwen 3, Gemma 3). */
  readonly queryKeyNorms?: boolean;
  /** Attention and MLP are normed before they are added to the residual stream too (Gemma). */
  readonly sandwichNorms?: boolean;
  /** Added to the weight of every norm: 1 in Gemma. */
  readonly normOffset?: number;
  /** Embeddings are multiplied by it, rounded to the type that weights are kept in (Gemma: √hiddenSize). */
  readonly embeddingScale?: number;
  /** Of the products of queries and keys; absent, it is 1/√headDim. */
  readonly attentionScale?: number;
  /** c · tanh(score / c) bounds attention's scores by c (Gemma 2). */
  readonly attentionSoftcap?: number;
  /** The same for the logits. */
  readonly logitSoftcap?: number;
  /** The rotary embedding of layers that say `global`; of all layers where `layers` is absent. */
  readonly rope: RopeSpec;
  /** That of layers that say `local`. */
  readonly localRope?: RopeSpec;
  /** Where layers differ from plain causal attention: an entry for each of them. */
  readonly layers?: readonly LayerSpec[];
}

/** What sets a layer's attention apart. */
export interface LayerSpec {
  /** Tokens that a query sees, itself included; absent, it sees all before it. */
  readonly window?: number | undefined;
  /** The rotary embedding of its queries and keys; SmolLM 3 has layers without one. */
  readonly rope: RopeKind | 'none';
}

export type RopeKind = 'global' | 'local';

const PLAIN_LAYER: LayerSpec = { rope: 'global' };

export function layerSpec(spec: DecoderSpec, layer: number): LayerSpec {
  return spec.layers?.[layer] ?? PLAIN_LAYER;
}

interface RopeBase {
  readonly theta: number;
  /** Channels of a head that are rotated, from its first on; absent, all are. */
  readonly rotaryDim?: number | undefined;
}

/** How the inverse frequencies of a rotary embedding follow from theta. */
export type RopeSpec =
  | (RopeBase & { readonly type: 'default' })
  | (RopeBase & { readonly type: 'linear'; readonly factor: number })
  | (RopeBase & {
      /** Llama 3's piecewise scaling. */
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    })
  | (RopeBase & {
      /** A factor for each frequency, others once sequences are longer than at first (LongRoPE, arXiv:2402.13753). */
      readonly type: 'longrope';
      readonly shortFactor: readonly number[];
      readonly longFactor: readonly number[];
      readonly originalMaxPositions: number;
      /** Scales cosines and sines, and so the length of queries and keys. */
      readonly attentionFactor: number;
    });

/** The rotary embedding of a kind of layer, and undefined where the model has no such layer. */
export function ropeOf(spec: DecoderSpec, kind: RopeKind): RopeSpec | undefined {
  return kind === 'global' ? spec.rope : spec.localRope;
}

/** A linear of the decoder: its Hub name without `.weight`, and its shape [out, in]. */
export interface LinearSpec {
  /** e.g. `model.layers.0.self_attn.q_proj` */
  readonly name: string;
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly bias: boolean;
}

/** The linears of a layer, in forward order, under the names the Hub and PEFT use: seven, or four where some are fused. */
export function layerLinears(spec: DecoderSpec, layer: number): LinearSpec[] {
  const { hiddenSize, intermediateSize } = spec;
  const q = spec.numHeads * spec.headDim;
  const kv = spec.numKeyValueHeads * spec.headDim;
  const linear = (name: string, outFeatures: number, inFeatures: number, bias: boolean): LinearSpec => ({
    name: `model.layers.${layer}.${name}`,
    outFeatures,
    inFeatures,
    bias,
  });
  const qkvBias = spec.attentionBias !== false;
  const output = linear('self_attn.o_proj', hiddenSize, q, spec.attentionBias === true);
  const down = linear('mlp.down_proj', hiddenSize, intermediateSize, spec.mlpBias);
  if (spec.fusedProjections) {
    return [
      linear('self_attn.qkv_proj', q + 2 * kv, hiddenSize, qkvBias),
      output,
      linear('mlp.gate_up_proj', 2 * intermediateSize, hiddenSize, spec.mlpBias),
      down,
    ];
  }
  return [
    linear('self_attn.q_proj', q, hiddenSize, qkvBias),
    linear('self_attn.k_proj', kv, hiddenSize, qkvBias),
    linear('self_attn.v_proj', kv, hiddenSize, qkvBias),
    output,
    linear('mlp.gate_proj', intermediateSize, hiddenSize, spec.mlpBias),
    linear('mlp.up_proj', intermediateSize, hiddenSize, spec.mlpBias),
    down,
  ];
}

/** The linears of all layers, in forward order. */
export function allLinears(spec: DecoderSpec): LinearSpec[] {
  return Array.from({ length: spec.numLayers }, (_, layer) => layerLinears(spec, layer)).flat();
}

/** The last part of a linear's name: `q_proj`. */
export function moduleName({ name }: LinearSpec): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** What PEFT's `target_modules` may call a linear: `q_proj`, `self_attn.q_proj`, and so on up to its whole name. */
export function pathEnds(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(i).join('.'));
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
    const norm = (name: string, size = spec.hiddenSize) => ({
      name: `model.layers.${layer}.${name}.weight`,
      shape: [size],
    });
    const linears = layerLinears(spec, layer).flatMap((linear) => [
      { name: `${linear.name}.weight`, shape: [linear.outFeatures, linear.inFeatures] },
      ...(linear.bias ? [{ name: `${linear.name}.bias`, shape: [linear.outFeatures] }] : []),
    ]);
    const headNorms = ['self_attn.q_norm', 'self_attn.k_norm'].map((name) => norm(name, spec.headDim));
    const mlpNorms = ['pre_feedforward_layernorm', 'post_feedforward_layernorm'].map((name) => norm(name));
    list.push(
      norm('input_layernorm'),
      ...linears,
      ...(spec.queryKeyNorms ? headNorms : []),
      norm('post_attention_layernorm'),
      ...(spec.sandwichNorms ? mlpNorms : []),
    );
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
  /** The targeted linears as PEFT names them: the last parts of their names, `q_proj` or more of the path. */
  readonly targetModules: readonly string[];
  readonly useRslora: boolean;
  readonly useDora: boolean;
  /** Linears, by their whole names, with a rank and alpha of their own: PEFT's `rank_pattern` and `alpha_pattern`. */
  readonly overrides?: Readonly<Record<string, { readonly r: number; readonly alpha: number }>>;
  /** Modules that are trained whole beside it, by ends of their names: PEFT's `modules_to_save`. */
  readonly modulesToSave?: readonly string[] | undefined;
  /** A head that is tied to its embedding stays so where either is saved: PEFT's `ensure_weight_tying`. */
  readonly ensureWeightTying?: boolean | undefined;
  /** Tokens whose rows of a table are trained beside it: PEFT's `trainable_token_indices`. */
  readonly trainableTokens?: TrainableTokens | undefined;
}

/** Ids of tokens by table, as PEFT calls them. A tied head shares the rows of the embedding. */
export interface TrainableTokens {
  readonly embed_tokens?: readonly number[] | undefined;
  readonly lm_head?: readonly number[] | undefined;
}

/** The adapter of one linear, by its whole name: with the rank and alpha that hold there. */
export function loraAt(lora: LoraSpec, linear: string): LoraSpec {
  const { overrides, ...rest } = lora;
  return overrides && Object.hasOwn(overrides, linear) ? { ...rest, ...overrides[linear] } : lora;
}

/** PEFT's scaling: alpha / r, or alpha / sqrt(r) with rsLoRA (Kalajdzievski 2023, arXiv:2312.03732). */
export function loraScaling(lora: Pick<LoraSpec, 'r' | 'alpha' | 'useRslora'>): number {
  return lora.useRslora ? lora.alpha / Math.sqrt(lora.r) : lora.alpha / lora.r;
}

/** The linears of the model that the adapter targets, in forward order. */
export function targetedLinears(spec: DecoderSpec, lora: LoraSpec): LinearSpec[] {
  const targets = new Set(lora.targetModules);
  return allLinears(spec).filter(({ name }) => pathEnds(name).some((end) => targets.has(end)));
}

/** What PEFT's names begin with, as it wraps a model. */
const WRAPPED = 'base_model.model.';

/**
 * The adapter's tensors under PEFT's names in `adapter_model.safetensors`, in forward order: those of linears, then those
 * of modules that are saved whole, then rows of tokens.
 */
export function adapterParameters(
  spec: DecoderSpec,
  lora: LoraSpec,
  linears: readonly LinearSpec[] = targetedLinears(spec, lora),
): ParameterSpec[] {
  const pairs = linears.flatMap((linear) => {
    const prefix = WRAPPED + linear.name;
    const { r } = loraAt(lora, linear.name);
    return [
      { name: `${prefix}.lora_A.weight`, shape: [r, linear.inFeatures] },
      { name: `${prefix}.lora_B.weight`, shape: [linear.outFeatures, r] },
      ...(lora.useDora ? [{ name: `${prefix}.lora_magnitude_vector`, shape: [linear.outFeatures] }] : []),
    ];
  });
  return [...pairs, ...new Set(savedParameters(spec, lora).values()), ...new Set(tokenRows(spec, lora).values())];
}

/** Whether one of PEFT's `modules_to_save` is a module that has the parameter, itself or in a module of its own. */
export function isSavedBy(module: string, parameter: string): boolean {
  const parts = parameter.split('.').slice(0, -1);
  // PEFT compares the ends of names, wherever in a word they begin: `norm` means every norm.
  return parts.some((_, i) =>
    parts
      .slice(0, i + 1)
      .join('.')
      .endsWith(module),
  );
}

/**
 * The tensors that stand in the place of parameters of the model, by whose Hub names they are found: whole copies, trained
 * beside the adapter. A tied head becomes a copy of its own, unless weight tying is ensured: then it and the
 * embedding are one tensor, under the embedding's name.
 */
export function savedParameters(spec: DecoderSpec, lora: LoraSpec): Map<string, ParameterSpec> {
  const { modulesToSave = [], ensureWeightTying = false } = lora;
  const tied = spec.tieWordEmbeddings ? [{ name: HEAD, shape: [spec.vocabSize, spec.hiddenSize] }] : [];
  const saved = [...parameters(spec), ...tied].filter(({ name }) =>
    modulesToSave.some((module) => isSavedBy(module, name)),
  );
  const copies = new Map(saved.map(({ name, shape }) => [name, { name: WRAPPED + name, shape }]));
  const table = copies.get(EMBEDDING) ?? copies.get(HEAD);
  if (spec.tieWordEmbeddings && ensureWeightTying && table) {
    const shared = { ...table, name: WRAPPED + EMBEDDING };
    return new Map([...copies, [EMBEDDING, shared], [HEAD, shared]]);
  }
  return copies;
}

/** The rows of some tokens in a table, as a tensor of its own. */
export interface TokenRowsSpec extends ParameterSpec {
  readonly ids: readonly number[];
}

/**
 * The rows that stand in the place of those of the tables, by whose Hub names they are found. They are the rows
 * themselves, though PEFT calls them a delta. A tied head has those of the embedding.
 */
export function tokenRows(spec: DecoderSpec, { trainableTokens = {} }: LoraSpec): Map<string, TokenRowsSpec> {
  const rowsOf = (table: string, ids: readonly number[] | undefined): [string, TokenRowsSpec][] => {
    if (!ids || ids.length === 0) return [];
    const module = table.replace(/\.weight$/, '');
    const name = `${WRAPPED}${module}.token_adapter.trainable_tokens_delta`;
    return [[table, { name, shape: [ids.length, spec.hiddenSize], ids }]];
  };
  const embedding = rowsOf(EMBEDDING, trainableTokens.embed_tokens);
  const head = spec.tieWordEmbeddings
    ? embedding.map(([, rows]) => [HEAD, rows] as const)
    : rowsOf(HEAD, trainableTokens.lm_head);
  return new Map([...embedding, ...head]);
}

/** Whether the model's head, tied until now, is another table than its embedding once the adapter is there. */
export function isUntiedBy(spec: DecoderSpec, lora: LoraSpec): boolean {
  const saved = savedParameters(spec, lora);
  return spec.tieWordEmbeddings && saved.get(EMBEDDING) !== saved.get(HEAD);
}
