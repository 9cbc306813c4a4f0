/** Rows of a micro-batch to what the session takes. */
import type { Row } from '../../data/batches';
import type { TokenizedExample } from '../../data/tokenize-example';
import type { Batch } from '../../engine';

/** Each row as a sequence, its documents end to end; a pair as two, the chosen answer first. */
export function toBatch(rows: readonly Row[]): Batch {
  const sequences = rows.flatMap((row) => (row.length === 1 ? sequencesOf(row[0]!) : [joined(row)]));
  const batch = {
    inputIds: sequences.map(({ inputIds }) => inputIds),
    labels: sequences.map(({ labels }) => labels),
  };
  const referenceLogProbs = rows.flat().flatMap(({ referenceLogProbs = [] }) => referenceLogProbs);
  if (referenceLogProbs.length > 0) return { ...batch, referenceLogProbs };
  const teacher = rows.flat().flatMap((example) => example.teacher ?? []);
  if (teacher.length > 0) return { ...batch, teacher };
  if (rows.every((row) => row.length === 1)) return batch;
  return { ...batch, documents: rows.map((row) => row.map(({ inputIds }) => inputIds.length)) };
}

type Sequence = Pick<TokenizedExample, 'inputIds' | 'labels'>;

/** The sequences that an example is trained as: itself, or the two of a pair. */
export function sequencesOf(example: TokenizedExample): Sequence[] {
  return example.rejected ? [example, example.rejected] : [example];
}

function joined(row: Row): Sequence {
  return {
    inputIds: row.flatMap(({ inputIds }) => inputIds),
    labels: row.flatMap(({ labels }) => labels),
  };
}
