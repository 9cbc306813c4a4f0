/** All filters of jinja2 that a chat template can mean, by name, and the tests, since filters call both. */
import { JinjaError } from '../errors';
import { callWith, table } from '../functions';
import { makeTests } from '../tests';
import { isTrue, listOf, Stream, textOf, typeName, type CallArguments, type Value } from '../values';
import { attributeGetter } from './arguments';
import { NUMBER_FILTERS } from './numbers';
import { SEQUENCE_FILTERS } from './sequences';
import { formatFilter, TEXT_FILTERS } from './text';

export type Filter = (value: Value, args: CallArguments) => Value;
export type Test = (value: Value, args: CallArguments) => boolean;

const FILTERS = new Map<string, Filter>();
for (const builtin of table([...TEXT_FILTERS, ...NUMBER_FILTERS, ...SEQUENCE_FILTERS]).values()) {
  FILTERS.set(builtin.name, (value, args) => callWith(builtin, value, args));
}
FILTERS.set('format', formatFilter);
FILTERS.set('map', map);
FILTERS.set('select', selection(false, true));
FILTERS.set('reject', selection(false, false));
FILTERS.set('selectattr', selection(true, true));
FILTERS.set('rejectattr', selection(true, false));

const TESTS = makeTests((name) => FILTERS.has(name));

/** Names of all filters and tests. */
export const FILTER_NAMES: readonly string[] = [...FILTERS.keys()];
export const TEST_NAMES: readonly string[] = [...TESTS.keys()];

export function findFilter(name: string): Filter | undefined {
  return FILTERS.get(name);
}

export function findTest(name: string): Test | undefined {
  const test = TESTS.get(name);
  return test && ((value, args) => isTrue(callWith(test, value, args)));
}

function map(value: Value, args: CallArguments): Stream {
  return new Stream(mapItems(value, args));
}

/** Nothing is called, nor an argument looked at, before the items are asked for. */
function* mapItems(value: Value, args: CallArguments): Generator<Value> {
  if (!isTrue(value)) return;
  const change = prepareMap(args);
  for (const item of listOf(value)) yield change(item);
}

function prepareMap({ positional: [name, ...rest], named }: CallArguments): (item: Value) => Value {
  if (name === undefined && named.has('attribute')) {
    const extra = [...named.keys()].find((key) => key !== 'attribute' && key !== 'default');
    if (extra !== undefined) throw new JinjaError(`Unexpected keyword argument '${extra}'`);
    return attributeGetter(named.get('attribute'), named.get('default'));
  }
  if (name === undefined) throw new JinjaError('map requires a filter argument');
  const filter = FILTERS.get(textOf(name) ?? '');
  if (!filter) throw new JinjaError(`No filter named '${textOf(name) ?? typeName(name)}'.`);
  return (item) => filter(item, { positional: rest, named });
}

function selection(byAttribute: boolean, keep: boolean): Filter {
  return (value, args) => new Stream(selectItems(value, args, byAttribute, keep));
}

function* selectItems(value: Value, args: CallArguments, byAttribute: boolean, keep: boolean): Generator<Value> {
  if (!isTrue(value)) return;
  const [attribute, ...others] = byAttribute ? args.positional : [null, ...args.positional];
  if (attribute === undefined) throw new JinjaError('Missing parameter for attribute name');
  const [name, ...rest] = others;
  const get = attributeGetter(attribute);
  const test = name === undefined ? undefined : findTest(textOf(name) ?? '');
  if (name !== undefined && !test) throw new JinjaError(`No test named '${textOf(name) ?? typeName(name)}'.`);
  for (const item of listOf(value)) {
    const found = get(item);
    if ((test ? test(found, { positional: rest, named: args.named }) : isTrue(found)) === keep) yield item;
  }
}
