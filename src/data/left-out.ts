/** Sentences about what a dataset has that isn't trained on: rows that are left out, and why. */
import { GraftError } from '../core/errors';
import type { SkippedRow } from '../core/events';
import { formatCount, quote } from '../core/format';

/** Rows that a sentence names before it says how many more there are. */
const NAMED_ROWS = 10;
const NAMED_REASONS = 3;
const NAMED_FIELDS = 20;

/** `a, b and c`; names that aren't plain words are quoted. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, NAMED_FIELDS).map((name) => (/^[\p{L}\d_.-]+$/u.test(name) ? name : quote(name)));
  return joinWithAnd(
    names.length > shown.length ? [...shown, `${formatCount(names.length - shown.length)} more`] : shown,
  );
}

/** `row 3`, or `rows 3, 6, 9 and 12 more`: the first ten, then how many. */
export function listRows(rows: readonly number[], named = NAMED_ROWS): string {
  const shown = rows.slice(0, named).map(String);
  const more = rows.length - shown.length;
  const list = joinWithAnd(more > 0 ? [...shown, `${formatCount(more)} more`] : shown);
  return `${rows.length === 1 ? 'row' : 'rows'} ${list}`;
}

/** A row that is left out. */
export function skippedRow(
  { row, line }: { readonly row: number; readonly line?: number },
  reason: string,
): SkippedRow {
  return { row, ...(line !== undefined && { line }), reason };
}

/** `row 3`, with the line on which it begins where that is another number. */
export function nameRow({ row, line }: Pick<SkippedRow, 'row' | 'line'>): string {
  return line === undefined ? `row ${row}` : `row ${row} (line ${line})`;
}

function joinWithAnd(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)!}`;
}

/**
 * The rows that are left out and why, the commonest reasons first, each with its first rows:
 * `row 3 has an empty output (likewise rows 6 and 9); row 12 (line 13) …`.
 */
export function describeSkipped(skipped: readonly SkippedRow[]): string {
  const groups = new Map<string, SkippedRow[]>();
  for (const row of skipped) {
    // Places and quoted values differ among rows with one fault.
    const key = row.reason.replace(/\d+|"(?:[^"\\]|\\.)*"/g, '#');
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  const largest = [...groups.values()].sort((a, b) => b.length - a.length);
  const parts = largest.slice(0, NAMED_REASONS).map((group) => {
    const others = group.slice(1).map(({ row }) => row);
    const like = others.length > 0 ? ` (likewise ${listRows(others, NAMED_ROWS - 1)})` : '';
    return `${nameRow(group[0]!)} ${group[0]!.reason}${like}`;
  });
  const rest = largest.slice(NAMED_REASONS).flatMap((group) => group.map(({ row }) => row));
  if (rest.length > 0) parts.push(`other reasons for ${listRows(rest.sort((a, b) => a - b))}`);
  return parts.join('; ');
}

/** The notice on rows that are left out, of `rowCount` in all; undefined where there are none. */
export function skippedNotice(skipped: readonly SkippedRow[], rowCount: number): string | undefined {
  if (skipped.length === 0) return undefined;
  const verb = skipped.length === 1 ? 'is' : 'are';
  return `${formatCount(skipped.length)} of ${rowsOf(rowCount)} ${verb} left out: ${describeSkipped(skipped)}.`;
}

/** @throws `bad-data` where more than the share `maxBadRows` of a file's rows, or all of them, can't be used. */
export function checkSkipped(
  fileName: string,
  skipped: readonly SkippedRow[],
  rowCount: number,
  maxBadRows: number,
): void {
  // A share such as 0.29 has no exact value: 29 of 100 rows are that share all the same.
  const allowed = Math.floor(maxBadRows * rowCount + 1e-9);
  if (skipped.length <= allowed && skipped.length < rowCount) return;
  const all = skipped.length === rowCount;
  const limit = all ? '' : `, and max_bad_rows ${maxBadRows} allows no more than ${formatCount(allowed)}`;
  const count = all && rowCount === 1 ? 'its only row' : `${formatCount(skipped.length)} of ${rowsOf(rowCount)}`;
  throw new GraftError(
    'bad-data',
    `${fileName}: ${count} can't be used${limit}: ${describeSkipped(skipped)}.${all ? '' : ' Mend them, or raise max_bad_rows to leave them out.'}`,
  );
}

function rowsOf(count: number): string {
  return `${formatCount(count)} row${count === 1 ? '' : 's'}`;
}
