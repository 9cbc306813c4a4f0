/**
 * Data that were read, in a few large arrays: they cross from one thread to another without being copied, where
 * hundreds of thousands of small ones would hold both up.
 */
import type { TokenizedExample } from '../../data/tokenize-example';
import type { ReadData } from './data';

/** Examples one after another. */
export interface PackedExamples {
  /** 1-based row of the file, of each example. */
  readonly rows: Int32Array<ArrayBuffer>;
  /** Where each example ends in `ids` and `labels`. */
  readonly ends: Int32Array<ArrayBuffer>;
  readonly ids: Int32Array<ArrayBuffer>;
  /** As long as `ids`; -100 where not trained. */
  readonly labels: Int32Array<ArrayBuffer>;
}

/** Everything of the data but the examples; small, and structured-clonable. */
export type DataFacts = Omit<ReadData, 'tokenized'> & { readonly tokenized: Omit<ReadData['tokenized'], 'examples'> };

export function packData(data: ReadData): { packed: PackedExamples; facts: DataFacts } {
  const { examples, ...tokenized } = data.tokenized;
  const length = examples.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
  const packed = {
    rows: new Int32Array(examples.length),
    ends: new Int32Array(examples.length),
    ids: new Int32Array(length),
    labels: new Int32Array(length),
  };
  let at = 0;
  for (const [i, { row, inputIds, labels }] of examples.entries()) {
    packed.ids.set(inputIds, at);
    packed.labels.set(labels, at);
    at += inputIds.length;
    packed.rows[i] = row;
    packed.ends[i] = at;
  }
  return { packed, facts: { ...data, tokenized } };
}

export function unpackData({ packed, facts }: { packed: PackedExamples; facts: DataFacts }): ReadData {
  const { rows, ends, ids, labels } = packed;
  const examples = Array.from(rows, (row, i): TokenizedExample => {
    const [from, to] = [i === 0 ? 0 : ends[i - 1]!, ends[i]!];
    return { row, inputIds: Array.from(ids.subarray(from, to)), labels: Array.from(labels.subarray(from, to)) };
  });
  return { ...facts, tokenized: { ...facts.tokenized, examples } };
}
