/** Which linears of a model are packed in 4 bits, and in groups of how many columns. */
import { GraftError } from '../../core/errors';
import { layerLinears, type DecoderSpec, type LinearSpec } from '../../core/spec';
import { PER_WORD } from './nibbles';

export interface Int4Plan {
  /** Columns of a group; −1 for one group of all. */
  readonly groupSize: number;
  /** Modules of a layer within it (`self_attn.q_proj`) that are packed, and those that stay as they are. */
  readonly packed: readonly string[];
  readonly left: readonly string[];
  /** What is otherwise than asked, a sentence each. */
  readonly notices: readonly string[];
}

/** Sizes that vLLM's kernels have, below the one asked for: tried where columns don't divide by that. */
const SMALLER = [128, 64, 32];

/** @throws `unsupported` where nothing of the model can be packed */
export function planInt4(spec: DecoderSpec, groupSize: number): Int4Plan {
  const linears = layerLinears(spec, 0);
  const fits = ({ inFeatures, outFeatures }: LinearSpec, size: number) =>
    inFeatures % PER_WORD === 0 && outFeatures % PER_WORD === 0 && (size === -1 || inFeatures % size === 0);
  const sizes = groupSize === -1 ? [-1] : [groupSize, ...SMALLER.filter((size) => size < groupSize)];
  const counts = sizes.map((size) => linears.filter((linear) => fits(linear, size)).length);
  const most = Math.max(...counts);
  const chosen = sizes[counts.indexOf(most)]!;
  const packed = linears.filter((linear) => fits(linear, chosen));
  const left = linears.filter((linear) => !fits(linear, chosen));
  if (packed.length === 0) {
    throw new GraftError(
      'unsupported',
      `No linear of this model has columns that divide by ${groupSize === -1 ? PER_WORD : sizes.join(', ')} and rows that ` +
        `divide by ${PER_WORD}: it can't be packed in 4 bits. Export it as GGUF.`,
    );
  }
  const notices: string[] = [];
  if (chosen !== groupSize) {
    notices.push(`Columns don't divide by ${groupSize}: groups have ${chosen} of them, in the whole model.`);
  }
  if (left.length > 0) {
    const sizesOf = left.map((linear) => `${withinLayer(linear)} (${linear.inFeatures} columns)`);
    notices.push(
      `${sizesOf.join(', ')} can't be packed in groups of ${chosen === -1 ? 'all columns' : chosen} and ` +
        `${left.length === 1 ? 'stays' : 'stay'} in F16; config.json says so.`,
    );
  }
  return { groupSize: chosen, packed: packed.map(withinLayer), left: left.map(withinLayer), notices };
}

/** `self_attn.q_proj` of `model.layers.3.self_attn.q_proj`. */
export function withinLayer({ name }: Pick<LinearSpec, 'name'>): string {
  return name.replace(/^model\.layers\.\d+\./, '');
}
