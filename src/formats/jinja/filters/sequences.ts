/** Filters on lists and dicts. */
import { getOnlyAttribute } from '../access';
import { add } from '../arithmetic';
import { compareValues, equals, sortValues } from '../compare';
import { JinjaError } from '../errors';
import { spendSteps } from '../fuel';
import { builtin, type Builtin } from '../functions';
import { joinAll } from '../methods/strings';
import { toText } from '../printing';
import { reverseText } from '../text';
import {
  dictPairs,
  hashKey,
  isDict,
  isList,
  isText,
  isTrue,
  itemsOf,
  iterate,
  lengthOf,
  listOf,
  Markup,
  Range,
  Stream,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from '../values';
import { attributeGetter, attributesGetter, flag, foldCase, integer, strictText, type Argument } from './arguments';

function keyGetter(attribute: Argument, caseSensitive: Argument, otherwise?: Value): (item: Value) => Value {
  const get = attributeGetter(attribute, otherwise);
  return flag(caseSensitive) ? get : (item) => foldCase(get(item));
}

function first(value: Value): Value {
  const next = iterate(value).next();
  return next.done ? new Undefined(() => 'No first item, sequence was empty.') : next.value;
}

/** The items of what Python can reverse: not of a generator. */
function reversible(value: Value): Value[] {
  const items = itemsOf(value);
  if (!items) throw new JinjaError(`'${typeName(value)}' object is not reversible`);
  return items;
}

function last(value: Value): Value {
  const item = reversible(value).at(-1);
  return item === undefined ? new Undefined(() => 'No last item, sequence was empty.') : item;
}

function extreme(value: Value, caseSensitive: Argument, attribute: Argument, sign: 1 | -1): Value {
  const get = keyGetter(attribute, caseSensitive);
  let best: { item: Value; key: Value } | undefined;
  for (const item of listOf(value)) {
    const key = get(item);
    const better =
      best === undefined || (sign < 0 ? compareValues(key, best.key) < 0 : compareValues(key, best.key, '>') > 0);
    if (better) best = { item, key };
  }
  return best ? best.item : new Undefined(() => 'No aggregated item, sequence was empty.');
}

function sort(value: Value, reverse: Argument, caseSensitive: Argument, attribute: Argument): Value[] {
  const get = attributesGetter(attribute, flag(caseSensitive));
  return sortValues(listOf(value), (item) => get(item), flag(reverse));
}

function dictsort(value: Value, caseSensitive: Argument, by: Argument, reverse: Argument): Value[] {
  const what = by === undefined ? 'key' : textOf(by);
  if (what !== 'key' && what !== 'value') throw new JinjaError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) throw value.fail();
  if (!isDict(value)) throw new JinjaError(`'${typeName(value)}' object has no attribute 'items'`);
  const pick = ([key, item]: readonly [Value, Value]) => (what === 'key' ? key : item);
  const key = (pair: readonly [Value, Value]) => (flag(caseSensitive) ? pick(pair) : foldCase(pick(pair)));
  return sortValues(dictPairs(value), key, flag(reverse)).map((pair) => new Tuple([...pair]));
}

function* unique(value: Value, caseSensitive: Argument, attribute: Argument): Generator<Value> {
  const get = keyGetter(attribute, caseSensitive);
  const seen = new Set<unknown>();
  for (const item of listOf(value)) {
    const key = hashKey(get(item));
    if (seen.has(key)) continue;
    seen.add(key);
    yield item;
  }
}

/** A pair that is known by its names, too. */
class Group extends Tuple {
  override attribute(name: string): Value | undefined {
    return name === 'grouper' ? this.items[0] : name === 'list' ? this.items[1] : undefined;
  }
}

function groupby(value: Value, attribute: Value, otherwise: Argument, caseSensitive: Argument): Value[] {
  const get = keyGetter(attribute, caseSensitive, otherwise);
  const shown = attributeGetter(attribute, otherwise);
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sortValues(listOf(value), get, false)) {
    const key = get(item);
    const group = groups.at(-1);
    if (group && equals(group.key, key)) group.items.push(item);
    else groups.push({ key, items: [item] });
  }
  return groups.map(({ key, items }) => new Group([flag(caseSensitive) ? key : shown(items[0]!), items]));
}

function* batch(value: Value, size: Value, fill: Argument): Generator<Value> {
  const items = listOf(value);
  const count = integer(size, 0);
  // A size of 0 or less is never reached: one batch of everything, as jinja2 has it.
  for (let start = 0; start < items.length; start += count > 0 ? count : items.length) {
    const part = count > 0 ? items.slice(start, start + count) : [...items];
    if (fill !== undefined && fill !== null) spendSteps(Math.max(0, count - part.length));
    while (fill !== undefined && fill !== null && part.length < count) part.push(fill);
    yield part;
  }
}

function* slices(value: Value, count: Value, fill: Argument): Generator<Value> {
  const items = listOf(value);
  const parts = integer(count, 0);
  if (parts === 0) throw new JinjaError('integer division or modulo by zero');
  const size = Math.floor(items.length / parts);
  const extra = items.length % parts;
  for (let i = 0, start = 0; i < parts; i++) {
    spendSteps();
    const part = items.slice(start, start + size + (i < extra ? 1 : 0));
    start += part.length;
    if (fill !== undefined && fill !== null && i >= extra) part.push(fill);
    yield part;
  }
}

function* items(value: Value): Generator<Value> {
  if (value instanceof Undefined) return;
  if (!isDict(value)) throw new JinjaError('Can only get item pairs from a mapping.');
  for (const pair of dictPairs(value)) yield new Tuple([...pair]);
}

function reverse(value: Value): Value {
  const text = textOf(value);
  if (text !== undefined) {
    const reversed = reverseText(text);
    return value instanceof Markup ? new Markup(reversed) : reversed;
  }
  if (value instanceof Stream) return listOf(value).reverse();
  if (value instanceof Undefined) return [];
  const items = itemsOf(value);
  if (!items) throw new JinjaError('argument must be iterable');
  spendSteps(items.length);
  const type = isList(value) ? 'list_reverseiterator' : value instanceof Range ? 'range_iterator' : 'reversed';
  return new Stream([...items].reverse()[Symbol.iterator](), type);
}

function sum(value: Value, attribute: Argument, start: Argument): Value {
  const get = attributeGetter(attribute);
  if (start !== undefined && isText(start)) throw new JinjaError("sum() can't sum strings [use ''.join(seq) instead]");
  return listOf(value).reduce((total, item) => add(total, get(item)), start === undefined ? 0 : start);
}

export const SEQUENCE_FILTERS: readonly Builtin[] = [
  builtin('length(obj, /)', lengthOf),
  builtin('count(obj, /)', lengthOf),
  builtin('first(seq)', first),
  builtin('last(seq)', last),
  // Rendering the same conversation twice must give the same text, so that nothing is left to chance.
  builtin('random(seq)', (value: Value) =>
    lengthOf(value) === 0 ? new Undefined(() => 'No random item, sequence was empty.') : first(value),
  ),
  builtin('list(value)', (value: Value) => [...listOf(value)]),
  builtin('items(value)', (value: Value) => new Stream(items(value))),
  builtin('join(value, d?, attribute?)', (value: Value, separator?: Value, attribute?: Value) => {
    const get = attributeGetter(attribute);
    const parts = listOf(value).map((item) => toText(get(item)));
    return joinAll(parts, separator === undefined ? '' : toText(separator));
  }),
  builtin('min(value, case_sensitive?, attribute?)', (value: Value, sensitive?: Value, attribute?: Value) =>
    extreme(value, sensitive, attribute, -1),
  ),
  builtin('max(value, case_sensitive?, attribute?)', (value: Value, sensitive?: Value, attribute?: Value) =>
    extreme(value, sensitive, attribute, 1),
  ),
  builtin('sort(value, reverse?, case_sensitive?, attribute?)', sort),
  builtin('dictsort(value, case_sensitive?, by?, reverse?)', dictsort),
  builtin(
    'unique(value, case_sensitive?, attribute?)',
    (value: Value, sensitive?: Value, attribute?: Value) => new Stream(unique(value, sensitive, attribute)),
  ),
  builtin('groupby(value, attribute, default?, case_sensitive?)', groupby),
  builtin(
    'batch(value, linecount, fill_with?)',
    (value: Value, size: Value, fill?: Value) => new Stream(batch(value, size, fill)),
  ),
  builtin(
    'slice(value, slices, fill_with?)',
    (value: Value, count: Value, fill?: Value) => new Stream(slices(value, count, fill)),
  ),
  builtin('reverse(value)', reverse),
  builtin('sum(iterable, attribute?, start?)', sum),
  builtin('attr(obj, name)', (value: Value, name: Value) => getOnlyAttribute(value, strictText(name, 'attr'))),
  builtin('default(value, default_value?, boolean?)', (value: Value, otherwise?: Value, boolean?: Value) =>
    value instanceof Undefined || (flag(boolean) && !isTrue(value))
      ? otherwise === undefined
        ? ''
        : otherwise
      : value,
  ),
  builtin('d(value, default_value?, boolean?)', (value: Value, otherwise?: Value, boolean?: Value) =>
    value instanceof Undefined || (flag(boolean) && !isTrue(value))
      ? otherwise === undefined
        ? ''
        : otherwise
      : value,
  ),
];
