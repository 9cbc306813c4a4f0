/** Reading the fields of a row, which is untrusted, and keeping account of those that are left out. */
import { GraftError } from '../../core/errors';
import { formatCount, quote } from '../../core/format';
import { listNames } from '../left-out';

/** Levels of nesting that anything within a row may have. */
const MAX_DEPTH = 100;

export type RowValue = Readonly<Record<string, unknown>>;

/** A row that can't be used. `reason` is the rest of a sentence that begins with the row: `has an empty output`. */
export function unusable(reason: string): GraftError {
  return new GraftError('bad-data', reason);
}

/** The field's own value; null counts as absent, and so does an empty list. */
export function fieldOf(value: RowValue, name: string): unknown {
  if (!Object.hasOwn(value, name)) return undefined;
  const field = value[name];
  return field === null || (Array.isArray(field) && field.length === 0) ? undefined : field;
}

/** The first fields with a value, for a message. */
export function quoteNames(value: RowValue): string {
  const names = Object.keys(value).filter((name) => fieldOf(value, name) !== undefined);
  return names.slice(0, 4).map(quote).join(', ') || 'no field';
}

/** A field of text; undefined where it is absent. */
export function textOf(value: RowValue, name: string): string | undefined {
  const field = fieldOf(value, name);
  if (field === undefined || typeof field === 'string') return field;
  throw unusable(`must have text in ${name}, but has ${quote(field)}`);
}

/** Whether a value is an object with named fields. */
export function isObject(value: unknown): value is RowValue {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The article that goes before a name: `an output`. */
export function withArticle(name: string): string {
  return `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`;
}

/** Sets an own field, `__proto__` too, which an assignment would not. */
export function setOwn(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value;
  else Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

/** Refuses a value that a template could not be given: whatever walks it takes a stack frame a level. */
export function checkDepth(value: unknown, place: string, depth = 0): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_DEPTH) throw unusable(`has a value nested more than ${MAX_DEPTH} levels deep in ${place}`);
  for (const inner of Object.values(value)) checkDepth(inner, place, depth + 1);
}

/**
 * A value without the fields that are null, at any depth; list items stay. Tables fill the fields that other rows
 * have with null, and TRL drops them the same way (`remove_none_values`). The value has been through `checkDepth`.
 */
export function withoutNulls(value: unknown, found: () => void): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, found));
  const kept: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field === null) found();
    else setOwn(kept, name, withoutNulls(field, found));
  }
  return kept;
}

/** Names of fields, and in how many rows each is left out. */
export class LeftOut {
  private readonly unknown = new Map<string, number>();
  /** By what the rows are read by instead. */
  private readonly other = new Map<string, Map<string, number>>();
  private readonly partFields = new Set<string>();
  private readonly remarks = new Set<string>();

  /** A field that no format uses. */
  addUnknown(name: string): void {
    increase(this.unknown, name);
  }

  /** A field that a format uses, in a row that is read by others. */
  addOther(name: string, readBy: string): void {
    const names = this.other.get(readBy) ?? new Map<string, number>();
    this.other.set(readBy, names);
    increase(names, name);
  }

  /** A field of a part of a message's content. */
  addPartField(name: string): void {
    this.partFields.add(name);
  }

  /** Anything else to say of some rows: a whole sentence. */
  remark(sentence: string): void {
    this.remarks.add(sentence);
  }

  /** A sentence for each kind of thing that is left out. */
  notices(rowCount: number): string[] {
    const sentences: string[] = [];
    if (this.unknown.size > 0) {
      sentences.push(`${subject(this.unknown, rowCount)} left out: no format of a dataset uses ${them(this.unknown)}.`);
    }
    for (const [readBy, names] of this.other) {
      sentences.push(
        `${subject(names, rowCount)} left out: rows with ${readBy} are read by ${readBy.includes(' ') ? 'those' : 'that'}.`,
      );
    }
    if (this.partFields.size > 0) {
      sentences.push(`Parts of messages are read by type and text, without ${listNames([...this.partFields])}.`);
    }
    sentences.push(...this.remarks);
    return sentences;
  }
}

function increase(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function them(counts: ReadonlyMap<string, number>): string {
  return counts.size === 1 ? 'it' : 'them';
}

/** `id and source are`, with how many rows have a field where not all do. */
function subject(counts: ReadonlyMap<string, number>, rowCount: number): string {
  const everywhere = [...counts].filter(([, count]) => count === rowCount).map(([name]) => name);
  const somewhere = [...counts].filter(([, count]) => count !== rowCount).sort((a, b) => b[1] - a[1]);
  const parts = everywhere.length > 0 ? [listNames(everywhere)] : [];
  if (somewhere.length > 0) {
    const most = somewhere[0]![1];
    const least = somewhere.at(-1)![1];
    const range = least === most ? formatCount(most) : `${formatCount(least)} to ${formatCount(most)}`;
    parts.push(`${listNames(somewhere.map(([name]) => name))} (in ${range} of ${formatCount(rowCount)} rows)`);
  }
  return `${parts.join(', and ')} ${counts.size === 1 ? 'is' : 'are'}`;
}
