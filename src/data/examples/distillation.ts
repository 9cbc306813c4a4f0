/** Rows for distillation, pre-tokenised: an answer, and what a teacher expected at each of its tokens. */
import { quote } from '../../core/format';
import type { TeacherTokens } from '../../core/teacher';
import type { DatasetFormat, Example } from '../example';
import type { DatasetRow } from '../rows';
import { fieldOf, LeftOut, quoteNames, unusable, type RowValue } from './fields';
import { isRowField } from './formats';
import { readTokenIds, readTokenRow, TOKEN_FIELDS } from './tokens';

const IDS = 'teacher_ids';
const LOG_PROBS = 'teacher_logprobs';
const USED: ReadonlySet<string> = new Set(['input_ids', ...TOKEN_FIELDS, IDS, LOG_PROBS]);
const EXPECTED = `input_ids, labels, ${IDS}, ${LOG_PROBS}`;

/** What rounding may add to the probability of 1 that the tokens of a position share. */
const ROUNDING = 1e-3;

const NO_TOKEN = -1;

/** Token ids are kept in 32 bits. */
const LARGEST_ID = 2 ** 31 - 1;

/** Reads rows as a method that trains on a teacher's log-probabilities takes them. */
export class DistillationReader {
  private readonly leftOut = new LeftOut();
  private rowCount = 0;

  /** @param topK the teacher's likeliest tokens that are kept of each position; 0 keeps all that there are */
  constructor(private readonly topK: number) {}

  /** @throws `bad-data` with the reason alone, where the row can't be used. */
  read({ value, ...place }: DatasetRow): Example {
    refuseOthers(value);
    const { inputIds, start, end } = readTokenIds(value);
    const tokens = readTokenRow(value);
    const isTrained = (position: number) => {
      const label = tokens.labels[position - start + 1];
      return position >= start && label !== undefined && label >= 0;
    };
    const positions = readPositions(value, inputIds.length, isTrained);
    const teacher = teacherTokens(positions.slice(start, end), this.topK);
    this.rowCount++;
    for (const name of Object.keys(value)) {
      if (USED.has(name) || value[name] === null) continue;
      if (isRowField(name)) this.leftOut.addOther(name, `input_ids and ${IDS}`);
      else this.leftOut.addUnknown(name);
    }
    return { kind: 'tokens', ...place, ...tokens, teacher };
  }

  formats(): DatasetFormat[] {
    return this.rowCount > 0 ? ['tokens'] : [];
  }

  notices(): string[] {
    return this.leftOut.notices(this.rowCount);
  }
}

interface Position {
  readonly ids: readonly number[];
  readonly logProbs: readonly number[];
}

/** Checks and gives what stands at each position; of those that nothing is trained at, nothing. */
function readPositions(value: RowValue, length: number, isTrained: (position: number) => boolean): Position[] {
  const [ids, logProbs] = [IDS, LOG_PROBS].map((name) => {
    const lists = fieldOf(value, name);
    if (lists === undefined) throw unusable(`has no ${name}, the other half of what the teacher says`);
    if (!Array.isArray(lists)) throw unusable(`must have a list for each token in ${name}, but has ${quote(lists)}`);
    if (lists.length !== length) throw unusable(`has ${length} input_ids, but ${lists.length} lists in ${name}`);
    return lists as unknown[];
  }) as [unknown[], unknown[]];
  return Array.from({ length }, (_, position) =>
    isTrained(position) ? readPosition(ids[position], logProbs[position], position + 1) : { ids: [], logProbs: [] },
  );
}

/** `place` counts from 1. */
function readPosition(ids: unknown, logProbs: unknown, place: number): Position {
  const isId = (id: unknown) => Number.isSafeInteger(id) && (id as number) >= 0;
  if (!Array.isArray(ids) || ids.length === 0 || !ids.every(isId)) {
    throw unusable(`must have a list of token ids at position ${place} of ${IDS}, but has ${quote(ids)}`);
  }
  const huge = (ids as number[]).find((id) => id > LARGEST_ID);
  if (huge !== undefined) {
    throw unusable(`holds the token id ${huge} at position ${place} of ${IDS}, and no model has so many tokens`);
  }
  const isLogProb = (number: unknown) => typeof number === 'number' && Number.isFinite(Math.fround(number));
  if (!Array.isArray(logProbs) || !logProbs.every(isLogProb)) {
    throw unusable(
      `must have a list of log-probabilities at position ${place} of ${LOG_PROBS}, but has ${quote(logProbs)}`,
    );
  }
  if (logProbs.length !== ids.length) {
    throw unusable(`has ${ids.length} ${IDS} at position ${place}, but ${logProbs.length} ${LOG_PROBS}`);
  }
  const twice = repeated(ids as number[]);
  if (twice !== undefined) throw unusable(`has the token ${twice} twice at position ${place} of ${IDS}`);
  const sum = (logProbs as number[]).reduce((total, logProb) => total + Math.exp(logProb), 0);
  if (sum > 1 + ROUNDING) {
    throw unusable(
      `has ${LOG_PROBS} at position ${place} whose probabilities add up to ${sum.toPrecision(3)}: give natural logarithms of probabilities, not logits`,
    );
  }
  return { ids: ids as number[], logProbs: logProbs as number[] };
}

/** The first that has come before. */
function repeated(ids: readonly number[]): number | undefined {
  const seen = new Set<number>();
  return ids.find((id) => seen.size === seen.add(id).size);
}

/** The positions in two arrays, as wide as the widest of them. */
function teacherTokens(positions: readonly Position[], topK: number): TeacherTokens {
  const kept = topK > 0 ? positions.map((position) => likeliest(position, topK)) : positions;
  const perToken = kept.reduce((widest, { ids }) => Math.max(widest, ids.length), 0);
  const all = new Int32Array(kept.length * perToken).fill(NO_TOKEN);
  const logProbs = new Float32Array(all.length);
  for (const [i, position] of kept.entries()) {
    all.set(position.ids, i * perToken);
    logProbs.set(position.logProbs, i * perToken);
  }
  return { perToken, ids: all, logProbs };
}

function likeliest({ ids, logProbs }: Position, count: number): Position {
  if (ids.length <= count) return { ids, logProbs };
  const order = ids.map((_, k) => k).sort((a, b) => logProbs[b]! - logProbs[a]! || a - b);
  const kept = order.slice(0, count);
  return { ids: kept.map((k) => ids[k]!), logProbs: kept.map((k) => logProbs[k]!) };
}

/** Refuses rows that aren't pre-tokenised with a teacher's log-probabilities, with what to do. */
function refuseOthers(value: RowValue): void {
  if (fieldOf(value, 'input_ids') === undefined) {
    const names = quoteNames(value);
    throw unusable(`has ${names} and no input_ids: method: distill takes pre-tokenised rows (${EXPECTED})`);
  }
  if (fieldOf(value, IDS) === undefined && fieldOf(value, LOG_PROBS) === undefined) {
    throw unusable(
      `has input_ids without ${IDS} and ${LOG_PROBS}: method: distill trains on what a teacher says; set method: sft to train on the labels`,
    );
  }
  if (['labels', 'completion_mask', 'assistant_masks'].every((name) => fieldOf(value, name) === undefined)) {
    throw unusable('has input_ids without labels, which say what of it is the answer');
  }
}
