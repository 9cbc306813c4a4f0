/** The `tojson` filter: Python's `json.dumps` with what Transformers lets a template set. */
import { sortValues } from './compare';
import { JinjaError } from './errors';
import { replaceMatches, TextBuilder } from './builder';
import { joinTexts, spendReading, spendSteps, spendText } from './fuel';
import { bigintText, floatRepr, numberRepr } from './printing';
import { dictPairs, Float, isDict, isList, Markup, Tuple, typeName, type Value } from './values';

export interface JsonOptions {
  /** What one level is indented with; undefined for one line. */
  readonly indent: string | undefined;
  readonly separators: { readonly item: string; readonly key: string };
  readonly ensureAscii: boolean;
  readonly sortKeys: boolean;
}

export function toJson(value: Value, options: JsonOptions): string {
  return new JsonWriter(options).write(value, '\n');
}

class JsonWriter {
  constructor(private readonly options: JsonOptions) {}

  /** `newline` begins a line at the depth of `value`. */
  write(value: Value, newline: string): string {
    spendSteps();
    switch (typeof value) {
      case 'string':
        return this.quote(value);
      case 'number':
        return Number.isInteger(value) ? numberRepr(value) : jsonFloat(value);
      case 'boolean':
        return value ? 'true' : 'false';
      case 'bigint':
        return bigintText(value);
      default:
        if (value === null) return 'null';
        if (isList(value)) return this.writeAll('[', value, ']', newline, (item, inner) => this.write(item, inner));
        if (isDict(value)) return this.writeDict(value, newline);
        if (value instanceof Tuple) return this.write(value.items, newline);
        if (value instanceof Markup) return this.quote(value.text);
        if (value instanceof Float) return jsonFloat(value.value);
        throw new JinjaError(`Object of type ${typeName(value)} is not JSON serializable`);
    }
  }

  private writeDict(value: Parameters<typeof dictPairs>[0], newline: string): string {
    const pairs = dictPairs(value);
    const sorted = this.options.sortKeys ? sortValues(pairs, ([key]) => key, false) : pairs;
    const { key: separator } = this.options.separators;
    return this.writeAll(
      '{',
      sorted,
      '}',
      newline,
      ([key, item], inner) => this.quote(jsonKey(key)) + separator + this.write(item, inner),
    );
  }

  private writeAll<T>(
    open: string,
    items: readonly T[],
    close: string,
    newline: string,
    write: (item: T, newline: string) => string,
  ): string {
    if (items.length === 0) return open + close;
    const { indent, separators } = this.options;
    const inner = indent === undefined ? '' : newline + indent;
    spendText(inner.length);
    let text = open + inner;
    for (let i = 0; i < items.length; i++) {
      if (i > 0) text = joinTexts(text, separators.item + inner);
      text = joinTexts(text, write(items[i]!, inner === '' ? newline : inner));
    }
    return joinTexts(text, (indent === undefined ? '' : newline) + close);
  }

  private quote(text: string): string {
    const quoted = quoteText(text);
    if (!this.options.ensureAscii) return quoted;
    return replaceMatches(quoted, /[^\0-\x7f]+/g, ([units]) => escapeUnits(units));
  }
}

/** Characters that are quoted at once, each of which may become six. */
const QUOTED_AT_ONCE = 65_536;

function quoteText(text: string): string {
  spendReading(2 * text.length);
  const builder = new TextBuilder();
  for (let start = 0; start < text.length;) {
    let end = Math.min(text.length, start + QUOTED_AT_ONCE);
    // Half a character would be escaped.
    if (end < text.length && text.codePointAt(end - 1)! > 0xffff) end--;
    builder.add(JSON.stringify(text.slice(start, end)).slice(1, -1));
    start = end;
  }
  return `"${builder.finish()}"`;
}

function escapeUnits(units: string): string {
  const builder = new TextBuilder();
  for (let i = 0; i < units.length; i++) builder.add(`\\u${units.charCodeAt(i).toString(16).padStart(4, '0')}`);
  return builder.finish();
}

function jsonFloat(value: number): string {
  if (Number.isFinite(value)) return floatRepr(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
}

function jsonKey(key: Value): string {
  if (typeof key === 'string') return key;
  if (key instanceof Markup) return key.text;
  if (key === null) return 'null';
  if (typeof key === 'boolean') return key ? 'true' : 'false';
  if (typeof key === 'number' || typeof key === 'bigint') return numberRepr(Number(key));
  if (key instanceof Float) return jsonFloat(key.value);
  throw new JinjaError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}
