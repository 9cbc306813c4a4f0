/** Fields that would change what is trained, and that supervised fine-tuning on text has no use for: the row is refused. */
import { quote } from '../../core/format';
import { fieldOf, unusable, type RowValue } from './fields';

/** Why a row with a value in the field can't be used, or undefined where the value doesn't matter. */
type Refusal = (value: unknown, name: string) => string | undefined;

const preference: Refusal = (_, name) =>
  `has ${name}: a preference pair (chosen, rejected) is for dpo, and fine-tuning trains one answer`;
/** A pair of token ids can be trained on as it is. */
const tokenPair: Refusal = (_, name) =>
  `has ${name}: a preference pair is for method: dpo, and method: sft trains single answers; set method: dpo`;
/** A teacher's words beside labels: which of them a run is to follow is for its method to say. */
const teacher: Refusal = (_, name) =>
  `has ${name}: what a teacher says is for method: distill, and method: sft trains on labels; set method: distill`;
const media: Refusal = (_, name) => `has ${name}, but only text is trained`;
const candidates: Refusal = (_, name) =>
  `has ${name}: several answers to one prompt are for grpo or reward models, not for fine-tuning`;
const tree: Refusal = (_, name) =>
  `has ${name}: it is one message of a tree of messages; write each path from its root as one row of messages`;

/** KTO's mark of a good or bad answer; any other label (a class, say) is left out and named. */
const goodOrBad: Refusal = (value, name) =>
  typeof value === 'boolean' || (typeof value === 'string' && /^(true|false)$/i.test(value))
    ? `has a ${name} that says whether its answer is good: that is for kto, and fine-tuning would train bad answers too`
    : undefined;

const weight: Refusal = (value, name) =>
  value === 1 || value === true
    ? undefined
    : `has the ${name} ${quote(value)}, but every row counts the same: leave the row out, or the field`;

/** Masks and lengths of tokens in rows that have no token ids, or beside labels: nothing here can follow them. */
const mask: Refusal = (value, name) =>
  value === false || value === 0
    ? undefined
    : `has ${name}, which says what is trained: give each message of the assistant a weight of 0 or 1, or token ids labels`;

const REFUSALS: ReadonlyMap<string, Refusal> = new Map<string, Refusal>([
  ['chosen', preference],
  ['rejected', preference],
  ['chosen_response', preference],
  ['rejected_response', preference],
  ['chosen_responses', preference],
  ['rejected_responses', preference],
  ['chosen_input_ids', tokenPair],
  ['rejected_input_ids', tokenPair],
  ['teacher_ids', teacher],
  ['teacher_logprobs', teacher],
  ['loss_mask', mask],
  ['completion_mask', mask],
  ['assistant_masks', mask],
  ['assistant_mask', mask],
  ['train_on_turn', mask],
  ['mask_history', mask],
  ['loss_weights', mask],
  ['prompt_length', mask],
  ['label', goodOrBad],
  ['kto_tag', goodOrBad],
  ['completions', candidates],
  ['responses', candidates],
  ['image', media],
  ['images', media],
  ['video', media],
  ['videos', media],
  ['audio', media],
  ['audios', media],
  ['pixel_values', media],
  ['weight', weight],
  ['loss_weight', weight],
  ['sample_weight', weight],
  ['train', weight],
  ['trainable', weight],
  ['train_on', weight],
  ['message_tree_id', tree],
  ['parent_id', tree],
  ['replies', tree],
]);

/** The fields of what isn't text, which a prompt can't do without. */
export const MEDIA_FIELDS: readonly string[] = [...REFUSALS]
  .filter(([, refusal]) => refusal === media)
  .map(([name]) => name);

/** Fields that mean what they say only in a row that has no answer in another field. */
export function refusedAlone(name: string): boolean {
  const refusal = REFUSALS.get(name);
  return refusal === candidates || refusal === tree;
}

/** Whether the name of a field alone tells that an object is a row; a list called train may hold the rows. */
export function marksRow(name: string): boolean {
  const refusal = REFUSALS.get(name);
  return refusal !== undefined && refusal !== weight && refusal !== mask;
}

/** Whether some values of a field are refused. */
export function mayRefuse(name: string): boolean {
  return REFUSALS.has(name);
}

/**
 * Refuses a row for the value of a field. Returns whether the field is dealt with; if not, it is left out.
 * @throws `bad-data` with the reason.
 */
export function checkRefusal(row: RowValue, name: string): boolean {
  const value = fieldOf(row, name);
  if (value === undefined || value === '') return true;
  const refusal = REFUSALS.get(name)!;
  const reason = refusal(value, name);
  if (reason !== undefined) throw unusable(reason);
  return refusal === weight || refusal === mask;
}
