/** Rows of preferences, pre-tokenised: a chosen and a rejected answer to one prompt, each with its prompt before it. */
import { quote } from '../../core/format';
import type { DatasetFormat, Example } from '../example';
import type { DatasetRow } from '../rows';
import { fieldOf, LeftOut, quoteNames, unusable, type RowValue } from './fields';
import { isRowField } from './formats';
import { readTokenRow, TOKEN_FIELDS } from './tokens';

const SIDES = ['chosen_', 'rejected_'] as const;
const IDS = SIDES.map((side) => `${side}input_ids`);
const LABELS = SIDES.map((side) => `${side}labels`);
const REFERENCES = ['ref_chosen_logps', 'ref_rejected_logps'] as const;

const USED: ReadonlySet<string> = new Set([
  ...IDS,
  ...REFERENCES,
  ...SIDES.flatMap((side) => TOKEN_FIELDS.map((name) => side + name)),
]);

/** Fields by which a row would be a pair, if it were pre-tokenised. */
const TEXTS = ['chosen', 'rejected'];

/** Reads rows as a method that trains on preferences takes them. */
export class PairReader {
  private readonly leftOut = new LeftOut();
  private rowCount = 0;
  /** Whether rows come with the reference's log-probabilities: as the first does. */
  private hasReference: boolean | undefined;

  /** @throws `bad-data` with the reason alone, where the row can't be used. */
  read({ value, ...place }: DatasetRow): Example {
    refuseOthers(value);
    const [chosen, rejected] = SIDES.map((side) => {
      if (['labels', 'completion_mask'].every((name) => fieldOf(value, side + name) === undefined)) {
        throw unusable(`has ${side}input_ids without ${side}labels, which say what of it is the answer`);
      }
      return readTokenRow(value, side);
    }) as [ReturnType<typeof readTokenRow>, ReturnType<typeof readTokenRow>];
    const referenceLogProbs = this.referenceOf(value);
    this.rowCount++;
    for (const name of Object.keys(value)) {
      if (USED.has(name) || value[name] === null) continue;
      if (isRowField(name)) this.leftOut.addOther(name, IDS.join(' and '));
      else this.leftOut.addUnknown(name);
    }
    return { kind: 'pair', ...place, chosen, rejected, ...(referenceLogProbs && { referenceLogProbs }) };
  }

  formats(): DatasetFormat[] {
    return this.rowCount > 0 ? ['pairs'] : [];
  }

  notices(): string[] {
    return this.leftOut.notices(this.rowCount);
  }

  private referenceOf(value: RowValue): readonly [number, number] | undefined {
    const found = REFERENCES.map((name) => fieldOf(value, name));
    const has = found.every((logProb) => logProb !== undefined);
    if (!has && found.some((logProb) => logProb !== undefined)) {
      throw unusable(`has one of ${REFERENCES.join(' and ')}, but not both`);
    }
    this.hasReference ??= has;
    if (has !== this.hasReference) {
      throw unusable(
        `has ${has ? '' : 'no '}${REFERENCES.join(' and ')}, unlike the rows before it: give them to all rows, or to none`,
      );
    }
    if (!has) return undefined;
    found.forEach((logProb, i) => {
      if (typeof logProb !== 'number' || !(logProb <= 0) || !Number.isFinite(Math.fround(logProb))) {
        throw unusable(`must have a log-probability, 0 or less, in ${REFERENCES[i]!}, but has ${quote(logProb)}`);
      }
    });
    return found as [number, number];
  }
}

const EXPECTED = [...IDS, ...LABELS].join(', ');

/** Refuses rows that aren't pre-tokenised pairs, with what to do. */
function refuseOthers(value: RowValue): void {
  const missing = IDS.filter((name) => fieldOf(value, name) === undefined);
  if (missing.length === 0) {
    if (fieldOf(value, 'prompt_input_ids') !== undefined) {
      throw unusable(
        `has prompt_input_ids: write the prompt at the beginning of ${IDS.join(' and ')}, with -100 for it in the labels`,
      );
    }
    return;
  }
  if (missing.length < IDS.length) throw unusable(`has no ${missing[0]!}, the other half of a pair`);
  const text = TEXTS.find((name) => fieldOf(value, name) !== undefined);
  if (text !== undefined) {
    throw unusable(`has ${text} as text: method: dpo takes pre-tokenised rows (${EXPECTED}), so tokenise it first`);
  }
  const names = quoteNames(value);
  throw unusable(`has ${names}: method: dpo trains on pairs (${EXPECTED}); set method: sft to train on single answers`);
}
