/** `object.name`, `object[key]` and `object[start:stop:step]`, as jinja2's immutable sandbox answers them. */
import { JinjaError } from './errors';
import { mapCharacters } from './builder';
import { spendReading, spendSteps } from './fuel';
import { callWith, type Builtin } from './functions';
import { escapeMarkup } from './markup';
import {
  CHANGING_METHODS,
  DICT_METHODS,
  FLOAT_METHODS,
  INT_METHODS,
  LIST_METHODS,
  TUPLE_METHODS,
  unsafeAttribute,
} from './methods/others';
import { STRING_METHODS, TEXT_RESULTS } from './methods/strings';
import { textRepr, toRepr } from './printing';
import { formatText } from './str-format';
import { codePointAt, offsetOf, reverseText, textLength } from './text';
import {
  Callable,
  Dict,
  dictGet,
  Float,
  hashKey,
  intOf,
  isDict,
  isFloat,
  isList,
  isText,
  listOf,
  Markup,
  numberOf,
  PyObject,
  Range,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type CallArguments,
  type Value,
} from './values';

const NO_METHODS: ReadonlyMap<string, Builtin> = new Map();

function methodsOf(object: Value): ReadonlyMap<string, Builtin> {
  if (isText(object)) return STRING_METHODS;
  if (isList(object)) return LIST_METHODS;
  if (isDict(object)) return DICT_METHODS;
  if (object instanceof Tuple || object instanceof Range) return TUPLE_METHODS;
  if (isFloat(object)) return FLOAT_METHODS;
  return intOf(object) === undefined ? NO_METHODS : INT_METHODS;
}

/** A method bound to its object; undefined where it has none of that name. */
export function getMethod(object: Value, name: string): ((args: CallArguments) => Value) | undefined {
  if (object instanceof Markup) return markupMethod(object, name);
  if (typeof object === 'string' && (name === 'format' || name === 'format_map')) return formatMethod(object, name);
  const method = methodsOf(object).get(name);
  return method && ((args) => callWith(method, object, args));
}

const FIELD_ACCESS = { attribute: getAttribute, item: getItem };

function formatMethod(format: string, name: 'format' | 'format_map'): (args: CallArguments) => string {
  if (name === 'format') return (args) => formatText(format, args, FIELD_ACCESS);
  return ({ positional: [mapping] }) => {
    if (mapping === undefined || !isDict(mapping)) throw new JinjaError('format_map() takes a mapping');
    const named = new Map(listOf(mapping).map((key) => [textOf(key) ?? '', dictGet(mapping, key)!]));
    return formatText(format, { positional: [], named }, FIELD_ACCESS);
  };
}

/** Marked text stays marked, and what a method puts into it is escaped. */
function markupMethod(object: Markup, name: string): ((args: CallArguments) => Value) | undefined {
  const method = getMethod(object.text, name);
  if (!method) return undefined;
  const escapes = name === 'join' || name === 'format' || name === 'replace';
  const escape = (value: Value): Value => {
    if (isText(value)) return escapeMarkup(value);
    if (!isList(value)) return value;
    spendSteps(value.length);
    return value.map(escape);
  };
  return ({ positional, named }) => {
    const result = method({
      positional: escapes ? positional.map(escape) : positional,
      named: escapes ? new Map([...named].map(([key, value]) => [key, escape(value)])) : named,
    });
    if (typeof result === 'string')
      return TEXT_RESULTS.has(name) || name.startsWith('format') ? new Markup(result) : result;
    const mark = (items: Value[]) => items.map((item) => (typeof item === 'string' ? new Markup(item) : item));
    if (isList(result)) return mark(result);
    return result instanceof Tuple ? new Tuple(mark(result.items)) : result;
  };
}

/** What Python's own attribute of that name is; undefined where there is none. */
function ownAttribute(object: Value, name: string): Value | undefined {
  if (object instanceof Undefined) throw object.fail();
  const method = getMethod(object, name);
  if (method) return new Callable(name, method, 'builtin_function_or_method');
  if (isList(object)) return CHANGING_METHODS.list.has(name) ? unsafeAttribute(object, name) : undefined;
  if (isDict(object)) return CHANGING_METHODS.dict.has(name) ? unsafeAttribute(object, name) : undefined;
  if (object instanceof PyObject) {
    const value = object.attribute(name);
    if (value !== undefined) return value;
  }
  if (object instanceof Range && (name === 'start' || name === 'stop' || name === 'step')) return object[name];
  const number = numberOf(object);
  if (number === undefined) return undefined;
  if (name === 'real') return typeof object === 'boolean' ? Number(object) : object;
  if (name === 'imag') return isFloat(object) ? new Float(0) : 0;
  if (isFloat(object)) return undefined;
  return name === 'numerator' ? intOf(object) : name === 'denominator' ? 1 : undefined;
}

export function getAttribute(object: Value, name: string): Value {
  const own = ownAttribute(object, name);
  if (own !== undefined) return own;
  return orMissing(isDict(object) ? dictGet(object, name) : undefined, object, name);
}

export function getItem(object: Value, key: Value): Value {
  if (object instanceof Undefined) throw object.fail();
  const found = lookUp(object, key);
  if (found !== undefined) return found;
  const name = textOf(key);
  return orMissing(name === undefined ? undefined : ownAttribute(object, name), object, key);
}

/** `object[key]`, or undefined where Python raises a LookupError or TypeError. */
function lookUp(object: Value, key: Value): Value | undefined {
  if (isDict(object)) {
    if (typeof key === 'string') {
      spendReading(key.length);
      return dictGet(object, key);
    }
    if (isList(key) || isDict(key)) return undefined;
    hashKey(key);
    return dictGet(object, key);
  }
  const integer = intOf(key);
  if (integer === undefined) return undefined;
  const index = Number(integer);
  if (isList(object)) return object[index < 0 ? index + object.length : index];
  if (typeof object === 'string') return characterAt(object, index);
  if (object instanceof Tuple) return object.items[index < 0 ? index + object.items.length : index];
  if (object instanceof Markup) {
    const character = characterAt(object.text, index);
    return character === undefined ? undefined : new Markup(character);
  }
  if (object instanceof Range) {
    const at = index < 0 ? index + object.length : index;
    return at >= 0 && at < object.length ? object.at(at) : undefined;
  }
  return undefined;
}

function orMissing(found: Value | undefined, object: Value, key: Value): Value {
  return found === undefined ? missing(object, key) : found;
}

function missing(object: Value, key: Value): Undefined {
  return new Undefined(() => {
    const kind = object === null ? 'None' : `${typeName(object)} object`;
    const name = textOf(key);
    return name === undefined
      ? `${kind} has no element ${toRepr(key)}`
      : `'${kind}' has no attribute ${textRepr(name)}`;
  });
}

/** The `attr` filter: an attribute, never a dict's item. */
export function getOnlyAttribute(object: Value, name: string): Value {
  return orMissing(ownAttribute(object, name), object, name);
}

export function slice(object: Value, start: Value, stop: Value, step: Value): Value {
  if (object instanceof Undefined) throw object.fail();
  if (isDict(object)) throw new JinjaError("unhashable type: 'slice'");
  if (!isText(object) && !isList(object) && !(object instanceof Tuple) && !(object instanceof Range)) {
    throw new JinjaError(`'${typeName(object)}' object is not subscriptable`);
  }
  if ([start, stop, step].some((bound) => bound !== null && intOf(bound) === undefined)) {
    throw new JinjaError('slice indices must be integers or None or have an __index__ method');
  }
  const by = step === null ? 1 : Number(intOf(step));
  if (by === 0) throw new JinjaError('slice step cannot be zero');
  if (typeof object === 'string') return sliceText(object, start, stop, by);
  if (isList(object)) return pick(object, start, stop, by);
  if (object instanceof Tuple) return new Tuple(pick(object.items, start, stop, by));
  if (object instanceof Markup) return new Markup(sliceText(object.text, start, stop, by));
  return sliceRange(object, start, stop, by);
}

/** Where a slice of `length` items begins and ends. */
function limits(length: number, start: Value, stop: Value, step: number): { from: number; to: number } {
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const clamp = (bound: Value, otherwise: number) => {
    if (bound === null) return otherwise;
    const index = Number(intOf(bound));
    return Math.min(high, Math.max(low, index < 0 ? index + length : index));
  };
  return { from: clamp(start, step > 0 ? low : high), to: clamp(stop, step > 0 ? high : low) };
}

function pick<T>(items: readonly T[], start: Value, stop: Value, step: number): T[] {
  const { from, to } = limits(items.length, start, stop, step);
  // What is copied at once takes little time, but memory.
  spendSteps(Math.max(0, Math.ceil((to - from) / step)) * (step === 1 ? 0.5 : 1));
  if (step === 1) return items.slice(from, Math.max(from, to));
  const picked: T[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) picked.push(items[i]!);
  return picked;
}

/** How much longer finding a place by its number may take than looking at a text: its characters are counted twice. */
const COUNTING = 4;

function characterAt(text: string, index: number): string | undefined {
  spendReading(COUNTING * text.length);
  return codePointAt(text, index);
}

function sliceText(text: string, start: Value, stop: Value, step: number): string {
  spendReading(COUNTING * text.length);
  if (step < 0) {
    const { from, to } = limits(textLength(text), start, stop, step);
    if (to >= from) return '';
    const reversed = reverseText(text.slice(offsetOf(text, to + 1), offsetOf(text, from + 1)));
    return step === -1 ? reversed : everyOf(reversed, -step);
  }
  const { from, to } = limits(textLength(text), start, stop, step);
  const part = to > from ? text.slice(offsetOf(text, from), offsetOf(text, to)) : '';
  return step === 1 ? part : everyOf(part, step);
}

/** The first character and every `step`th after it. */
function everyOf(text: string, step: number): string {
  let at = 0;
  return mapCharacters(text, (character) => (at++ % step === 0 ? character : ''));
}

function sliceRange(range: Range, start: Value, stop: Value, step: number): Range {
  const { from, to } = limits(range.length, start, stop, step);
  return new Range(range.at(from), range.at(to), range.step * step);
}

/** Calls a value. */
export function callValue(callee: Value, args: CallArguments): Value {
  if (callee instanceof Undefined) throw callee.fail();
  const result = callee instanceof PyObject ? callee.invoke(args) : undefined;
  if (result !== undefined) return result;
  throw new JinjaError(`'${typeName(callee)}' object is not callable`);
}

/** Python's `dict(…)`. */
export function makeDict({ positional, named }: CallArguments): Dict {
  if (positional.length > 1) throw new JinjaError(`dict expected at most 1 argument, got ${positional.length}`);
  const [source] = positional;
  const dict = new Dict();
  if (source !== undefined && isDict(source)) {
    for (const key of listOf(source)) dict.set(key, dictGet(source, key)!);
  } else if (source !== undefined) {
    listOf(source).forEach((pair, i) => {
      const parts = listOf(pair);
      if (parts.length !== 2) {
        throw new JinjaError(`dictionary update sequence element #${i} has length ${parts.length}; 2 is required`);
      }
      dict.set(parts[0]!, parts[1]!);
    });
  }
  for (const [key, value] of named) dict.set(key, value);
  return dict;
}
