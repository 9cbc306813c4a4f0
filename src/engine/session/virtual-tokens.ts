/**
 * Virtual tokens, which stand before every sequence of a model that has them. Views put them there and make room for them;
 * to all that comes after they are the first tokens of longer sequences.
 */
import { virtualTokens, type AdapterSpec } from '../../core/adapter';
import type { DecoderSpec } from '../../core/spec';
import { refuseUnknownIds } from '../runtime/upload';
import type { Batch, BatchShape, ViewOptions } from '../types';

type PromptedModel = Pick<AdapterSpec, 'prompt'> & { readonly spec: Pick<DecoderSpec, 'vocabSize'> };

/** No target, and no token of a teacher. */
const NONE = -1;
const IGNORED = -100;

/** The ids of virtual tokens, which are those past the vocabulary; none where the model has no such tokens. */
export function virtualIds(model: PromptedModel): number[] {
  return Array.from({ length: virtualTokens(model) }, (_, i) => model.spec.vocabSize + i);
}

/** The views with room for virtual tokens: sequences and the cache are longer by them. */
export function withVirtualRoom(views: ViewOptions, model: Pick<AdapterSpec, 'prompt'>): ViewOptions {
  const more = virtualTokens(model);
  if (more === 0) return views;
  const longer = <V extends BatchShape>(view: V): V => {
    if (view.packing) throw new Error('virtual tokens stand before rows of one document each');
    return { ...view, lengths: view.lengths.map((length) => length + more) };
  };
  const { train, forward, score, embed, decode } = views;
  return {
    ...(train && { train: longer(train) }),
    ...(forward && { forward: longer(forward) }),
    ...(score && { score: longer(score) }),
    ...(embed && { embed: longer(embed) }),
    ...(decode && { decode: { ...decode, maxLength: decode.maxLength + more } }),
  };
}

/**
 * The batch with virtual tokens before every row, which are no labels. The first token of a row has something before it now
 * that predicts it: its label counts, as in PEFT, unless the batch is held against what has nothing there.
 * @throws `bad-data` for an id outside the vocabulary
 */
export function withVirtualTokens(batch: Batch, model: PromptedModel, countsFirst = true): Batch {
  const ids = virtualIds(model);
  if (ids.length === 0) return batch;
  const { inputIds, labels, targets, teacher } = batch;
  inputIds.forEach((row) => refuseUnknownIds(Uint32Array.from(row), model.spec.vocabSize));
  const counted = (row: readonly number[]) => (countsFirst ? row : row.map((label, i) => (i === 0 ? IGNORED : label)));
  return {
    ...batch,
    inputIds: inputIds.map((row) => [...ids, ...row]),
    labels: labels.map((row) => [...ids.map(() => IGNORED), ...counted(row)]),
    ...(targets && { targets: targets.map((row) => [...ids.map(() => ({ ids: [], weights: [] })), ...row]) }),
    ...(teacher && {
      teacher: teacher.map(({ perToken, ids: found, logProbs }) => {
        const before = ids.length * perToken;
        const shifted = new Int32Array(before + found.length).fill(NONE);
        const values = new Float32Array(shifted.length);
        shifted.set(found, before);
        values.set(logProbs, before);
        return { perToken, ids: shifted, logProbs: values };
      }),
    }),
  };
}

/**
 * Ids [B·T] of rows of `length` without the virtual tokens before them, and the row of the result that each row of `ids` is,
 * u32 [B·T]; virtual tokens are none of them, and stand for the first.
 */
export function plainLeaves(
  ids: Uint32Array,
  length: number,
  virtual: number,
): { ids: Uint32Array; rows: Uint32Array } {
  const plain = new Uint32Array(ids.length);
  for (let row = 0; row < ids.length; row += length) plain.set(ids.subarray(row + virtual, row + length), row);
  return { ids: plain, rows: ids.map((_, i) => i - Math.min(virtual, i % length)) };
}
