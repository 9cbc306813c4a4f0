/** The rows that a model is quantised by: documents end to end in sequences of one length, so that none is padded. */
import { toFloat32, fromFloat32 } from '../../core/dtypes';
import { parseRunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import type { WeightTensor } from '../../core/weights';
import type { DecoderSpec } from '../../core/spec';
import type { HiddenRows } from '../../engine';
import { checkBadRows, readData, type DatasetFile, type TextModel } from './data';

/** As many tokens as AutoAWQ takes, in sequences as long as its own. */
const MOST_TOKENS = 128 * 512;
const MOST_LENGTH = 512;

/** Lengths are multiples of this where there are tokens enough: kernels work in tiles. */
const LENGTH_STEP = 16;

/** Ids of a sequence, and the tokens of each document in it; the last may go on in the next sequence, as another one. */
export interface CalibrationSequence {
  readonly ids: readonly number[];
  readonly documents: readonly number[];
}

export interface Calibration {
  readonly sequences: readonly CalibrationSequence[];
  /** Tokens of each. */
  readonly length: number;
  /** Rows that are in them, at least in part. */
  readonly rows: number;
}

/**
 * Takes rows in their order as long as there is room; what doesn't fill a step of the last sequence is left out.
 * @throws `bad-data` where they hold no token
 */
export function calibrationOf(
  rows: readonly (readonly number[])[],
  { maxPositions }: Pick<DecoderSpec, 'maxPositions'>,
): Calibration {
  let taken = 0;
  let count = 0;
  while (count < rows.length && taken < MOST_TOKENS) taken += rows[count++]!.length;
  const tokens = Math.min(taken, MOST_TOKENS);
  if (tokens === 0) throw new GraftError('bad-data', 'There is no token to calibrate with: name rows that hold some.');
  const most = Math.min(MOST_LENGTH, maxPositions);
  const sequences = Math.ceil(tokens / most);
  const even = Math.floor(tokens / sequences);
  const length = even < LENGTH_STEP ? even : LENGTH_STEP * Math.floor(even / LENGTH_STEP);
  const made: { ids: number[]; documents: number[] }[] = [];
  for (const row of rows.slice(0, count)) {
    for (let from = 0; from < row.length;) {
      let open = made.at(-1);
      if (!open || open.ids.length === length) {
        if (made.length === sequences) return { sequences: made, length, rows: count };
        made.push((open = { ids: [], documents: [] }));
      }
      const part = row.slice(from, from + length - open.ids.length);
      open.ids.push(...part);
      open.documents.push(part.length);
      from += part.length;
    }
  }
  return { sequences: made, length, rows: count };
}

/**
 * A dataset as the model reads it, whole rows, prompts and answers alike, as far as calibrating takes it.
 * @throws `bad-data` naming the row, `cancelled`
 */
export async function readCalibration(
  model: TextModel,
  file: DatasetFile,
  signal?: AbortSignal,
): Promise<{ calibration: Calibration; notices: readonly string[] }> {
  const overrides = { assistant_only_loss: 'false', max_length: String(model.spec.maxPositions) };
  const run = parseRunConfig('', overrides);
  const read = await readData(run, model, file, undefined, signal);
  checkBadRows(run, read);
  const rows = read.tokenized.examples.map(({ inputIds }) => inputIds);
  return { calibration: calibrationOf(rows, model.spec), notices: read.notices };
}

/** What goes into the first layer. */
export function embedSequences(
  { sequences }: Calibration,
  { dtype, bytes, shape }: WeightTensor,
  { embeddingScale = 1 }: Pick<DecoderSpec, 'embeddingScale'>,
): HiddenRows[] {
  const [vocab = 1, width = 1] = shape;
  const rowBytes = bytes.byteLength / vocab;
  const scale = toFloat32(fromFloat32(Float32Array.of(embeddingScale), dtype), dtype)[0]!;
  return sequences.map(({ ids, documents }) => {
    const hidden = new Float32Array(ids.length * width);
    ids.forEach((id, i) => {
      const row = toFloat32(bytes.subarray(id * rowBytes, (id + 1) * rowBytes), dtype);
      row.forEach((value, j) => (hidden[i * width + j] = value * scale));
    });
    return { hidden, documents };
  });
}
