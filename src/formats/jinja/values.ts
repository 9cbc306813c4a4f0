/**
 * Python's values as a template sees them. JSON is what it is in JavaScript: a whole number is a Python int, any other a
 * float. What JavaScript lacks (tuples, whole floats, dicts with keys of any kind, undefined values) is a class here.
 */
import { JinjaError } from './errors';
import { spendParts, spendReading, spendSteps, spendText } from './fuel';
import { isSimple, textLength } from './text';

/** Ints beyond 2^53 are bigints, all others numbers. */
export type Value = null | boolean | number | bigint | string | Value[] | PlainDict | PyObject;

/** A JSON object; only its own fields count. */
export interface PlainDict {
  readonly [key: string]: Value;
}

/** Whatever else Python has. */
export abstract class PyObject {
  /** The name of its type, as Python's messages have it. */
  abstract readonly type: string;

  /** An attribute that the object has beside what its type gives it. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }

  /** What it prints as, where its kind says so itself. */
  describe(): string | undefined {
    return undefined;
  }

  /** What calling it gives; undefined where it can't be called. */
  invoke(_args: CallArguments): Value | undefined {
    return undefined;
  }
}

/** jinja2's default Undefined: prints nothing, is false and empty, and refuses everything else. */
export class Undefined extends PyObject {
  readonly type = 'Undefined';

  /** `explain` says what is undefined; it is asked when that matters. */
  constructor(private readonly explain: () => string) {
    super();
  }

  fail(): JinjaError {
    return new JinjaError(this.explain());
  }
}

/** A float whose value is whole. Others are plain numbers. */
export class Float extends PyObject {
  readonly type = 'float';

  constructor(readonly value: number) {
    super();
  }
}

export function makeFloat(value: number): number | Float {
  return Number.isInteger(value) ? new Float(value) : value;
}

export function makeInt(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

export class Tuple extends PyObject {
  readonly type: string = 'tuple';

  constructor(readonly items: Value[]) {
    super();
  }
}

/** Text that `escape` or `safe` marked: what is joined to it is escaped. */
export class Markup extends PyObject {
  readonly type = 'Markup';

  constructor(readonly text: string) {
    super();
  }
}

/** A range, `keys()`, `values()`, `items()`: sized, iterable, not a list. */
export class View extends PyObject {
  constructor(
    readonly type: 'dict_keys' | 'dict_values' | 'dict_items',
    readonly items: Value[],
  ) {
    super();
  }
}

export class Range extends PyObject {
  readonly type = 'range';
  readonly length: number;

  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number,
  ) {
    super();
    this.length = Math.max(0, Math.ceil((stop - start) / step));
  }

  at(index: number): number {
    return this.start + index * this.step;
  }

  toArray(): number[] {
    return Array.from({ length: this.length }, (_, i) => this.at(i));
  }
}

/** What can be gone through once: a generator. */
export class Stream extends PyObject {
  constructor(
    readonly iterator: Iterator<Value>,
    readonly type: string = 'generator',
  ) {
    super();
  }
}

/** Arguments of a call. */
export interface CallArguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

export const NO_NAMED: ReadonlyMap<string, Value> = new Map();

export class Callable extends PyObject {
  constructor(
    readonly name: string,
    private readonly call: (args: CallArguments) => Value,
    readonly type: string = 'function',
  ) {
    super();
  }

  override attribute(name: string): Value | undefined {
    return name === 'name' && this.type === 'Macro' ? this.name : undefined;
  }

  override invoke(args: CallArguments): Value {
    return this.call(args);
  }
}

/** A dict made by the template; its keys may be of any kind that Python hashes. */
export class Dict extends PyObject {
  readonly type = 'dict';
  private readonly entries = new Map<unknown, [Value, Value]>();

  constructor(pairs: Iterable<readonly [Value, Value]> = []) {
    super();
    for (const [key, value] of pairs) this.set(key, value);
  }

  get size(): number {
    return this.entries.size;
  }

  get(key: Value): Value | undefined {
    return this.entries.get(hashKey(key))?.[1];
  }

  /** A key that is there already keeps its place and its own kind. */
  set(key: Value, value: Value): void {
    const hash = hashKey(key);
    const entry = this.entries.get(hash);
    if (entry) entry[1] = value;
    else this.entries.set(hash, [key, value]);
  }

  pairs(): Iterable<readonly [Value, Value]> {
    return this.entries.values();
  }
}

export type AnyDict = Dict | PlainDict;

/** `namespace(…)`, whose attributes `set` may change. */
export class Namespace extends PyObject {
  readonly type = 'jinja2.utils.Namespace';

  constructor(readonly attributes: Map<string, Value>) {
    super();
  }

  override attribute(name: string): Value | undefined {
    return this.attributes.get(name);
  }
}

const UNDEFINED_KEY = Symbol('Undefined');

/** What stands for a value among the keys of a map: equal for values that Python calls equal. */
export function hashKey(value: Value): unknown {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'string') spendReading(value.length);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Float) return Number.isSafeInteger(value.value) ? value.value : hashInt(value.value);
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return UNDEFINED_KEY;
  if (value instanceof Tuple) {
    spendSteps(value.items.length);
    const keys = value.items.map((item) => describeKey(hashKey(item)));
    spendText(keys.reduce((sum, key) => sum + key.length + 1, 0));
    return `\0(${keys.join(',')})`;
  }
  if (isList(value) || isDict(value) || value instanceof View)
    throw new JinjaError(`unhashable type: '${typeName(value)}'`);
  return value;
}

function hashInt(value: number): unknown {
  return Number.isFinite(value) ? BigInt(value) : value;
}

const objectKeys = new WeakMap<object, number>();
let objectCount = 0;

function describeKey(key: unknown): string {
  if (typeof key === 'string') {
    spendText(key.length);
    return JSON.stringify(key);
  }
  if (typeof key !== 'object' || key === null) return String(key);
  let id = objectKeys.get(key);
  if (id === undefined) objectKeys.set(key, (id = objectCount++));
  return `#${id}`;
}

export function isList(value: Value): value is Value[] {
  return Array.isArray(value);
}

export function isDict(value: Value): value is AnyDict {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    (!(value instanceof PyObject) || value instanceof Dict)
  );
}

/** Whether it is a str; Markup is one. */
export function isText(value: Value): value is string | Markup {
  return typeof value === 'string' || value instanceof Markup;
}

/** The characters of a str, or undefined for anything else. */
export function textOf(value: Value | undefined): string | undefined {
  return typeof value === 'string' ? value : value instanceof Markup ? value.text : undefined;
}

/** The field of a dict, or undefined where it has none. */
export function dictGet(dict: AnyDict, key: Value): Value | undefined {
  if (dict instanceof Dict) return dict.get(key);
  if (typeof key === 'string') return Object.hasOwn(dict, key) ? dict[key] : undefined;
  const hash = hashKey(key);
  return typeof hash === 'string' && Object.hasOwn(dict, hash) ? dict[hash] : undefined;
}

export function dictPairs(dict: AnyDict): (readonly [Value, Value])[] {
  const pairs = dict instanceof Dict ? [...dict.pairs()] : Object.entries(dict);
  spendSteps(pairs.length);
  return dict instanceof Dict ? pairs : pairs.filter(([, value]) => (value as unknown) !== undefined);
}

export function dictKeys(dict: AnyDict): Value[] {
  return dictPairs(dict).map(([key]) => key);
}

export function dictSize(dict: AnyDict): number {
  return dict instanceof Dict ? dict.size : dictPairs(dict).length;
}

export function typeName(value: Value): string {
  switch (typeof value) {
    case 'string':
      return 'str';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int';
    case 'number':
      return Number.isInteger(value) ? 'int' : 'float';
    default:
      if (value === null) return 'NoneType';
      if (isList(value)) return 'list';
      return value instanceof PyObject ? value.type : 'dict';
  }
}

export function isTrue(value: Value): boolean {
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'string':
      return value !== '';
    case 'number':
      return value !== 0;
    case 'bigint':
      return value !== 0n;
    default:
      if (value === null || value instanceof Undefined) return false;
      if (value instanceof Float) return value.value !== 0;
      if (isDict(value) && !(value instanceof Dict)) return hasFields(value);
      return sizeOf(value) !== 0;
  }
}

/** Whether a JSON object has fields, which never change: engines list all names before they give the first. */
const fullDicts = new WeakMap<PlainDict, boolean>();

function hasFields(dict: PlainDict): boolean {
  const known = fullDicts.get(dict);
  if (known !== undefined) return known;
  const found = dictPairs(dict).length > 0;
  fullDicts.set(dict, found);
  return found;
}

/** `len(value)`, or undefined where Python has none. */
export function sizeOf(value: Value): number | undefined {
  if (typeof value === 'string') return isSimple(value) ? value.length : textLength(value);
  if (typeof value !== 'object' || value === null) return undefined;
  if (isList(value)) return value.length;
  if (!(value instanceof PyObject) || value instanceof Dict) return dictSize(value);
  if (value instanceof Tuple || value instanceof View) return value.items.length;
  if (value instanceof Markup) return textLength(value.text);
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  return value instanceof SizedObject ? value.size() : undefined;
}

/** An object of jinja2's own that has a length: a loop. */
export abstract class SizedObject extends PyObject {
  abstract size(): number;
}

export function lengthOf(value: Value): number {
  const size = sizeOf(value);
  if (size === undefined) throw new JinjaError(`object of type '${typeName(value)}' has no len()`);
  return size;
}

/** The items that a loop over `value` goes through, as an array that must not be changed; undefined where it can't. */
export function itemsOf(value: Value): Value[] | undefined {
  if (typeof value === 'string') {
    spendParts(value.length);
    return isSimple(value) ? value.split('') : Array.from(value);
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (isList(value)) return value;
  if (!(value instanceof PyObject) || value instanceof Dict) return dictKeys(value);
  if (value instanceof Tuple || value instanceof View) return value.items;
  if (value instanceof Range) {
    spendSteps(value.length);
    return value.toArray();
  }
  if (value instanceof Markup) return itemsOf(value.text);
  if (value instanceof Undefined) return [];
  return undefined;
}

/** All items at once; a stream is used up. */
export function listOf(value: Value): Value[] {
  const items = itemsOf(value);
  if (items) {
    spendSteps(items.length);
    return items;
  }
  if (value instanceof Stream) {
    const list: Value[] = [];
    for (let next = value.iterator.next(); !next.done; next = value.iterator.next()) {
      spendSteps();
      list.push(next.value);
    }
    return list;
  }
  throw new JinjaError(`'${typeName(value)}' object is not iterable`);
}

/** One item after the other; a stream is used up only as far as it is asked. */
export function iterate(value: Value): Iterator<Value> {
  return value instanceof Stream ? value.iterator : listOf(value)[Symbol.iterator]();
}

export function isIterable(value: Value): boolean {
  if (typeof value === 'string' || value instanceof Stream || isList(value) || isDict(value)) return true;
  return [Tuple, View, Range, Markup, Undefined].some((kind) => value instanceof kind);
}

/** A bool, int or float as its number; undefined for anything else. */
export function numberOf(value: Value): number | undefined {
  switch (typeof value) {
    case 'number':
      return value;
    case 'boolean':
    case 'bigint':
      return Number(value);
    default:
      return value instanceof Float ? value.value : undefined;
  }
}

export function isFloat(value: Value): boolean {
  return value instanceof Float || (typeof value === 'number' && !Number.isInteger(value));
}

/** A bool or int as an int; undefined for anything else. */
export function intOf(value: Value | undefined): number | bigint | undefined {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'bigint') return value;
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
}
