/** Other people's JSON, read field by field: own fields only, so that nothing in a file reaches a prototype. */
import { GraftError } from '../core/errors';
import { formatCount, plural, quote } from '../core/format';
import { jsonFault, parseJson } from '../core/json';
import { decodeUtf8, type FileSource } from '../core/store';
import { wrongFile } from './kind-of-file';

/** Above any real config or tokenizer; JSON.parse of more could exhaust a tab's memory. */
const MAX_JSON_BYTES = 256 * 2 ** 20;

/** What comes in place of a file, and is text too: Git LFS pointers and web pages. */
const STAND_INS = /^version https:\/\/git-lfs|^\s*<(!doctype\s+html|html)\b/i;

/** The text of a file, or undefined where there is none. Throws `bad-file` for text that is not UTF-8. */
export async function readText(source: FileSource, file: string): Promise<string | undefined> {
  const size = await source.size(file);
  if (size === undefined) return undefined;
  if (size > MAX_JSON_BYTES)
    throw new GraftError('bad-file', `${file} has ${plural(size, 'byte')}: too large to be a ${file}.`);
  const bytes = await source.read(file);
  try {
    const text = decodeUtf8(bytes);
    if (!STAND_INS.test(text.slice(0, 100))) return text;
  } catch {
    // The sentence below says what it is instead.
  }
  const wrong = await wrongFile(source, file, 'the text that belongs there', true);
  throw wrong ?? new GraftError('bad-file', `${file} in ${source.name} is not UTF-8 text: download it again.`);
}

/** The object in a JSON file, or undefined where there is no such file. Throws `bad-file` for anything else in it. */
export async function readObject(source: FileSource, file: string): Promise<JsonObject | undefined> {
  const text = await readText(source, file);
  if (text === undefined) return undefined;
  const value = parseJson(text);
  if (value === undefined) {
    throw (await wrongFile(source, file, 'JSON', true)) ?? brokenJson(`${file} in ${source.name}`, text);
  }
  if (!isPlainObject(value)) throw new GraftError('bad-file', `${file} in ${source.name} holds no JSON object.`);
  return new JsonObject(file, value);
}

/** The error for text that is no JSON: with the line and column where it breaks, and what stands there. */
function brokenJson(where: string, text: string): GraftError {
  const { line, column, what } = jsonFault(text);
  return new GraftError(
    'bad-file',
    `${where} is not valid JSON: line ${line}, column ${column}: ${what}. Download it again.`,
  );
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a number is above 0 and finite in 32 bits. */
export function isPositiveFloat32(value: number): boolean {
  const rounded = Math.fround(value);
  return rounded > 0 && rounded < Infinity;
}

/** Typed access to the fields of one object. A field that is null counts as absent, as in the Hub's configs. */
export class JsonObject {
  constructor(
    /** Where it came from, for messages: `config.json` or `config.json: rope_scaling`. */
    readonly where: string,
    readonly value: Readonly<Record<string, unknown>>,
  ) {}

  keys(): string[] {
    return Object.keys(this.value);
  }

  get(key: string): unknown {
    return Object.hasOwn(this.value, key) ? (this.value[key] ?? undefined) : undefined;
  }

  /** Whether the field is there and null, where that says something else than its absence. */
  isNull(key: string): boolean {
    return Object.hasOwn(this.value, key) && this.value[key] === null;
  }

  object(key: string): JsonObject | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (!isPlainObject(value)) throw this.wrong(key, 'an object');
    return new JsonObject(`${this.where}: ${key}`, value);
  }

  /** A list of at most `limit` objects; absent is undefined. */
  objects(key: string, limit: number): JsonObject[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every(isPlainObject)) throw this.wrong(key, 'a list of objects');
    if (value.length > limit) {
      throw new GraftError(
        'bad-config',
        `${this.where}: ${key} has ${formatCount(value.length)} entries, but at most ${formatCount(limit)} are read.`,
      );
    }
    return value.map((item, i) => new JsonObject(`${this.where}: ${key}[${i}]`, item));
  }

  string(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'string') throw this.wrong(key, 'text');
    return value;
  }

  strings(key: string): string[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw this.wrong(key, 'a list of texts');
    return value;
  }

  numbers(key: string): number[] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'number' && Number.isFinite(item)))
      throw this.wrong(key, 'a list of numbers');
    return value as number[];
  }

  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'boolean') throw this.wrong(key, 'true or false');
    return value;
  }

  /** A number above 0 that is one in 32 bits too, for the GPU computes in those. */
  positive(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !(value > 0)) throw this.wrong(key, 'a number above 0');
    if (!isPositiveFloat32(value)) throw this.wrong(key, 'a number above 0 within the range of 32-bit floats');
    return value;
  }

  /** A whole number from 1 to `limit`. */
  size(key: string, limit: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > limit) {
      throw this.wrong(key, `a whole number from 1 to ${limit}`);
    }
    return value;
  }

  /** A whole number, 0 or more. */
  count(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw this.wrong(key, 'a whole number');
    return value;
  }

  /** One token id or a list of them; absent is an empty list. */
  ids(key: string): number[] {
    const value = this.get(key);
    const list: unknown[] = value === undefined ? [] : Array.isArray(value) ? value : [value];
    if (!list.every((id) => typeof id === 'number' && Number.isInteger(id) && id >= 0)) {
      throw this.wrong(key, 'a token id or a list of them');
    }
    return list as number[];
  }

  /** `value`, or an error that names the missing field. */
  required<T>(key: string, value: T | undefined): T {
    if (value === undefined) throw new GraftError('bad-config', `${this.where} has no ${key}, which the model needs.`);
    return value;
  }

  wrong(key: string, expected: string): GraftError {
    return new GraftError('bad-config', `${this.where}: ${key} must be ${expected}, but is ${quote(this.get(key))}.`);
  }
}
