/**
 * Data that were read, in a few large arrays: they cross from one thread to another without being copied, where
 * hundreds of thousands of small ones would hold both up.
 */
import type { TeacherTokens } from '../../core/teacher';
import type { TokenizedExample } from '../../data/tokenize-example';
import { sequencesOf } from './batch';
import type { ReadData } from './data';

/** Examples one after another; of pairs, the chosen answer and then the rejected one. */
export interface PackedExamples {
  /** 1-based row of the file, of each example. */
  readonly rows: Int32Array<ArrayBuffer>;
  /** Where each sequence ends in `ids` and `labels`: an example, or a side of a pair. */
  readonly ends: Int32Array<ArrayBuffer>;
  readonly ids: Int32Array<ArrayBuffer>;
  /** As long as `ids`; -100 where not trained. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** Whether the examples are pairs, and both log-probabilities of the reference for each, where the rows have them. */
  readonly isPaired: boolean;
  readonly references: Float64Array<ArrayBuffer>;
  /** What a teacher says of each example, where it does: `TeacherTokens`, one after another. */
  readonly teacher: {
    readonly perToken: Int32Array<ArrayBuffer>;
    readonly ids: Int32Array<ArrayBuffer>;
    readonly logProbs: Float32Array<ArrayBuffer>;
  };
}

/** Everything of the data but the examples; small, and structured-clonable. */
export type DataFacts = Omit<ReadData, 'tokenized'> & { readonly tokenized: Omit<ReadData['tokenized'], 'examples'> };

export function packData(data: ReadData): { packed: PackedExamples; facts: DataFacts } {
  const { examples, ...tokenized } = data.tokenized;
  const sequences = examples.flatMap(sequencesOf);
  const length = sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
  const packed = {
    rows: Int32Array.from(examples, ({ row }) => row),
    ends: new Int32Array(sequences.length),
    ids: new Int32Array(length),
    labels: new Int32Array(length),
    isPaired: sequences.length > examples.length,
    references: Float64Array.from(examples.flatMap(({ referenceLogProbs = [] }) => referenceLogProbs)),
    teacher: packTeachers(examples.flatMap(({ teacher = [] }) => teacher)),
  };
  let at = 0;
  for (const [i, { inputIds, labels }] of sequences.entries()) {
    packed.ids.set(inputIds, at);
    packed.labels.set(labels, at);
    at += inputIds.length;
    packed.ends[i] = at;
  }
  return { packed, facts: { ...data, tokenized } };
}

function packTeachers(teachers: readonly TeacherTokens[]): PackedExamples['teacher'] {
  const length = teachers.reduce((sum, { ids }) => sum + ids.length, 0);
  const packed = {
    perToken: Int32Array.from(teachers, ({ perToken }) => perToken),
    ids: new Int32Array(length),
    logProbs: new Float32Array(length),
  };
  let at = 0;
  for (const { ids, logProbs } of teachers) {
    packed.ids.set(ids, at);
    packed.logProbs.set(logProbs, at);
    at += ids.length;
  }
  return packed;
}

/** Views of the arrays: what a teacher says is most of such data. */
function unpackTeachers(
  { perToken, ids, logProbs }: PackedExamples['teacher'],
  tokens: readonly number[],
): TeacherTokens[] {
  let at = 0;
  return Array.from(perToken, (count, i) => {
    const [from, to] = [at, at + count * tokens[i]!];
    at = to;
    return { perToken: count, ids: ids.subarray(from, to), logProbs: logProbs.subarray(from, to) };
  });
}

export function unpackData({ packed, facts }: { packed: PackedExamples; facts: DataFacts }): ReadData {
  const { rows, ends, ids, labels, isPaired, references } = packed;
  const lengths = Array.from(ends, (end, i) => end - (ends[i - 1] ?? 0));
  const teachers = unpackTeachers(packed.teacher, lengths);
  const sequence = (i: number) => {
    const [from, to] = [i === 0 ? 0 : ends[i - 1]!, ends[i]!];
    return { inputIds: Array.from(ids.subarray(from, to)), labels: Array.from(labels.subarray(from, to)) };
  };
  const examples = Array.from(rows, (row, i): TokenizedExample => {
    if (!isPaired) return { row, ...sequence(i), ...(teachers[i] && { teacher: teachers[i] }) };
    const pair = { row, ...sequence(2 * i), rejected: sequence(2 * i + 1) };
    if (references.length === 0) return pair;
    return { ...pair, referenceLogProbs: [references[2 * i]!, references[2 * i + 1]!] };
  });
  return { ...facts, tokenized: { ...facts.tokenized, examples } };
}
