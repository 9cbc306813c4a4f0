/** Numbers as they are typed into a field that is no setting of the run file. */
import { formatCount } from '../../core/format';

export interface NumberRange {
  readonly least: number;
  readonly most?: number;
  readonly whole?: boolean;
}

/** The number, or a sentence that says why it is none. */
export function readNumber(name: string, typed: string, { least, most, whole = false }: NumberRange): number | string {
  const value = typed.trim() === '' ? NaN : Number(typed);
  const isInRange = value >= least && (most === undefined || value <= most);
  if (Number.isFinite(value) && isInRange && (!whole || Number.isInteger(value))) return value;
  const bounds =
    most === undefined ? `of ${formatCount(least)} or more` : `from ${formatCount(least)} to ${formatCount(most)}`;
  const found = typed.trim() === '' ? 'is empty' : `can't be ${typed.trim()}`;
  return `${name} ${found}: give a ${whole ? 'whole ' : ''}number ${bounds}.`;
}
