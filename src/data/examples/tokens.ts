/** Rows of token ids, as tokenizers and trainers write them: ids, labels and masks. */
import { quote } from '../../core/format';
import { IGNORED } from '../example';
import { fieldOf, unusable, type RowValue } from './fields';

/** Masks of what is trained: a position counts where all of them are 1 (TRL, Transformers, Megatron). */
const TRAINED_MASKS = ['completion_mask', 'assistant_masks', 'assistant_mask', 'loss_mask'];

export const TOKEN_FIELDS = ['labels', 'attention_mask', 'position_ids', 'seq_lengths', ...TRAINED_MASKS];

export interface TokenRow {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}

/**
 * Reads ids and labels without the padding at either end. All names of fields begin with `prefix`; `packs` is whether the
 * method takes `packing`.
 */
export function readTokenRow(row: RowValue, prefix = '', packs = false): TokenRow {
  const { inputIds, start, end } = readTokenIds(row, prefix);
  const length = inputIds.length;
  const labels = fieldOf(row, `${prefix}labels`) === undefined ? inputIds : integersOf(row, `${prefix}labels`);
  if (labels.length !== length)
    throw unusable(`has ${length} ${prefix}input_ids, but ${labels.length} ${prefix}labels`);
  const wrong = labels.findIndex((label) => label < 0 && label !== IGNORED);
  if (wrong >= 0) {
    const named = prefix === '' ? '' : ` of ${prefix}labels`;
    throw unusable(`has the label ${labels[wrong]!} at position ${wrong + 1}${named}; only ${IGNORED} may be negative`);
  }
  const masks = TRAINED_MASKS.map((name) => maskOf(row, name, length, prefix)).filter((mask) => mask !== undefined);
  const masked =
    masks.length === 0 ? labels : labels.map((label, i) => (masks.every((mask) => mask[i] === 1) ? label : IGNORED));
  checkPositions(row, start, end, prefix, packs);
  const kept = { inputIds: inputIds.slice(start, end), labels: masked.slice(start, end) };
  if (!kept.labels.slice(1).some((label) => label !== IGNORED)) {
    const named = prefix === '' ? 'label' : `label of ${prefix}labels`;
    throw unusable(`has nothing to train on: every ${named} after the first is ${IGNORED}`);
  }
  return kept;
}

/** The ids up to the last stretch that is trained: what an answer is asked with. Without labels, all of them. */
export function readTokenPrompt(row: RowValue): readonly number[] {
  const { inputIds, start, end } = readTokenIds(row);
  const marks = ['labels', ...TRAINED_MASKS].some((name) => fieldOf(row, name) !== undefined);
  if (!marks) return inputIds.slice(start, end);
  const { labels } = readTokenRow(row, '', true);
  const last = labels.findLastIndex((label) => label !== IGNORED);
  const before = labels.slice(0, last + 1).lastIndexOf(IGNORED) + 1;
  return inputIds.slice(start, before > 0 ? start + before : end);
}

/** The ids of a row, and where its tokens begin and end between padding. */
export function readTokenIds(row: RowValue, prefix = ''): { inputIds: readonly number[]; start: number; end: number } {
  const inputIds = integersOf(row, `${prefix}input_ids`);
  const negative = inputIds.findIndex((id) => id < 0);
  if (negative >= 0) throw unusable(`has a negative id in ${prefix}input_ids, at position ${negative + 1}`);
  const attention = maskOf(row, 'attention_mask', inputIds.length, prefix);
  if (!attention) return { inputIds, start: 0, end: inputIds.length };
  const start = attention.indexOf(1);
  const end = attention.lastIndexOf(1) + 1;
  if (start < 0) throw unusable(`has nothing but padding: its ${prefix}attention_mask is 0 everywhere`);
  const hole = attention.indexOf(0, start);
  if (hole >= 0 && hole < end) {
    throw unusable(
      `has ${prefix === '' ? 'an ' : `a ${prefix}`}attention_mask with a hole at position ${hole + 1}: only padding at either end can be left out`,
    );
  }
  return { inputIds, start, end };
}

/** Positions that don't count up from 0 mean several texts in one row, which would see each other. */
function checkPositions(row: RowValue, start: number, end: number, prefix: string, packs: boolean): void {
  const several = 'has several packed texts in one row';
  const advice = `write each as a row of its own${packs ? ', and set packing' : ''}`;
  if (fieldOf(row, `${prefix}position_ids`) !== undefined) {
    const positions = integersOf(row, `${prefix}position_ids`).slice(start, end);
    if (positions.some((position, i) => position !== i)) {
      throw unusable(`${several} (${prefix}position_ids don't count up from 0): ${advice}`);
    }
  }
  const lengths = fieldOf(row, `${prefix}seq_lengths`);
  if (Array.isArray(lengths) && lengths.length > 1) {
    throw unusable(`${several} (${prefix}seq_lengths): ${advice}`);
  }
}

function maskOf(row: RowValue, field: string, length: number, prefix: string): number[] | undefined {
  const name = prefix + field;
  const value = fieldOf(row, name);
  if (value === undefined) return undefined;
  const bits = Array.isArray(value) ? value.map((bit: unknown) => (bit === true ? 1 : bit === false ? 0 : bit)) : [];
  if (bits.length !== length || !bits.every((bit) => bit === 0 || bit === 1)) {
    throw unusable(
      `must have a 0 or 1 for each of its ${length} ${prefix}input_ids in ${name}, but has ${quote(value)}`,
    );
  }
  return bits;
}

function integersOf(row: RowValue, name: string): number[] {
  const value = fieldOf(row, name);
  if (!Array.isArray(value) || !value.every((id) => Number.isSafeInteger(id))) {
    throw unusable(`must have a list of token ids in ${name}, but has ${quote(value)}`);
  }
  return value as number[];
}
