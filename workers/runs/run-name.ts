/** What a new run is called, until somebody renames it. */
import type { TrainRequest } from '../../src/protocol/runs';

const ORDINALS = new Intl.PluralRules('en', { type: 'ordinal' });
const SUFFIXES: Partial<Record<Intl.LDMLPluralRule, string>> = { one: 'st', two: 'nd', few: 'rd' };

/** Model and data, the rows that are used of them where not all are, and which try of these it is after the first. */
export function nameRun({ model, dataset, config }: TrainRequest, others: readonly { name: string }[]): string {
  const rows = config.max_train_samples === undefined ? '' : `, first ${config.max_train_samples}`;
  const name = `${model.name} on ${dataset.name}${rows}`;
  const last = Math.max(0, ...others.map((other) => tryOf(other.name, name)));
  return last === 0 ? name : `${name}, ${last + 1}${SUFFIXES[ORDINALS.select(last + 1)] ?? 'th'} try`;
}

/** Which try a run of this name is; 0 for a run of another. */
function tryOf(name: string, first: string): number {
  if (name === first) return 1;
  const rest = name.startsWith(first) ? /^, ([1-9]\d{0,8})(st|nd|rd|th) try$/.exec(name.slice(first.length)) : null;
  return rest ? Number(rest[1]) : 0;
}
