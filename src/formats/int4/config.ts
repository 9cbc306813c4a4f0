/** `quantization_config` of config.json, as AutoGPTQ, GPTQModel and AutoAWQ write it and as Transformers and vLLM read it. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { JsonObject } from '../json';
import type { Int4Layout, Int4Method } from './layouts';

const KEY = 'quantization_config';

/** What a checkpoint is written by, and how it says so. */
export interface Int4Settings {
  readonly method: Int4Method;
  /** Columns of a group; −1 for one group of all. */
  readonly groupSize: number;
  readonly symmetric: boolean;
  readonly actOrder: boolean;
  readonly dampPercent: number;
  /** Modules of each layer that are quantised, by what they are given (`self_attn.q_proj`), and those that aren't. */
  readonly quantised: readonly (readonly string[])[];
  readonly left: readonly string[];
}

export function int4Config(settings: Int4Settings): Record<string, unknown> {
  const { method, groupSize, symmetric, actOrder, dampPercent, quantised, left } = settings;
  const shared = { quant_method: method, bits: 4, group_size: groupSize };
  if (method === 'awq') {
    return { ...shared, version: 'gemm', zero_point: true, modules_to_not_convert: left.length > 0 ? left : null };
  }
  return {
    ...shared,
    checkpoint_format: 'gptq',
    damp_percent: dampPercent,
    desc_act: actOrder,
    static_groups: false,
    sym: symmetric,
    true_sequential: true,
    // The first is read by Transformers and vLLM, the second by GPTQModel and vLLM.
    ...(left.length > 0 && {
      modules_in_block_to_quantize: quantised,
      dynamic: Object.fromEntries(left.map((module) => [`-:.*\\.${module.replaceAll('.', '\\.')}$`, {}])),
    }),
  };
}

export interface StoredInt4 {
  readonly layout: Int4Layout;
  /** Undefined where all columns are one group. */
  readonly groupSize: number | undefined;
}

/** How the weights beside a config.json are packed; undefined where it doesn't say that they are by GPTQ or AWQ. */
export function readInt4Config(config: JsonObject, model: string): StoredInt4 | undefined {
  const stored = config.object(KEY);
  const method = stored?.string('quant_method');
  if (!stored || (method !== 'gptq' && method !== 'awq')) return undefined;
  const refuse = (what: string) =>
    new GraftError(
      'unsupported',
      `${model} is already quantised in a way that Graft doesn't read (${method}, ${what}): pick one in 4 bits as ` +
        'AutoGPTQ or AutoAWQ write it, or the original model in F32, F16 or BF16.',
    );
  const bits = stored.get('bits') ?? stored.get('w_bit');
  if (bits !== 4) throw refuse(bits === undefined ? 'without its bits' : `bits: ${quote(bits)}`);
  const size = stored.get('group_size') ?? stored.get('q_group_size') ?? 128;
  const isSize = typeof size === 'number' && Number.isInteger(size) && (size > 0 || size === -1);
  if (!isSize) throw stored.wrong('group_size', 'a whole number above 0, or -1');
  const groupSize = size === -1 ? undefined : size;
  if (method === 'awq') {
    const version = stored.string('version')?.toLowerCase() ?? 'gemm';
    if (version !== 'gemm') throw refuse(`version: ${quote(version)}`);
    if (stored.boolean('zero_point') === false) throw refuse('zero_point: false');
    return { layout: 'awq', groupSize };
  }
  const layout = stored.string('checkpoint_format') ?? stored.string('format') ?? 'gptq';
  if (layout !== 'gptq' && layout !== 'gptq_v2') throw refuse(`checkpoint_format: ${quote(layout)}`);
  return { layout, groupSize };
}

/** A config as it would be were the weights not quantised. */
export function plainConfig(config: JsonObject): JsonObject {
  return new JsonObject(config.where, Object.fromEntries(Object.entries(config.value).filter(([key]) => key !== KEY)));
}
