/** All tests of jinja2, by name. */
import { operate } from './arithmetic';
import { contains, equals, isOrdered, isSame } from './compare';
import { CHANGE } from './fuel';
import { builtin, table, type Builtin } from './functions';
import { toText } from './printing';
import { isLower, isUpper } from './text';
import {
  Callable,
  intOf,
  isDict,
  isFloat,
  isIterable,
  isList,
  isText,
  Markup,
  numberOf,
  Range,
  sizeOf,
  Tuple,
  Undefined,
  type Value,
} from './values';

function divides(value: Value, by: Value): boolean {
  return equals(operate('%', value, by), 0);
}

function isSequence(value: Value): boolean {
  // An undefined value has a length, and a dict its items: jinja2 asks no more.
  return (
    isText(value) ||
    isList(value) ||
    isDict(value) ||
    value instanceof Tuple ||
    value instanceof Range ||
    value instanceof Undefined
  );
}

function named(names: string, run: (value: Value, other: Value) => boolean): Builtin[] {
  return names.split(' ').map((name) => builtin(`${name}(a, b, /)`, run));
}

export function makeTests(hasFilter: (name: string) => boolean): Map<string, Builtin> {
  const tests = table([
    builtin('defined(value)', (value: Value) => !(value instanceof Undefined)),
    builtin('undefined(value)', (value: Value) => value instanceof Undefined),
    builtin('none(value)', (value: Value) => value === null),
    builtin('boolean(value)', (value: Value) => typeof value === 'boolean'),
    builtin('true(value)', (value: Value) => value === true),
    builtin('false(value)', (value: Value) => value === false),
    builtin('integer(value)', (value: Value) => typeof value !== 'boolean' && intOf(value) !== undefined),
    builtin('float(value)', isFloat),
    builtin('number(value)', (value: Value) => numberOf(value) !== undefined),
    builtin('string(value)', isText),
    builtin('mapping(value)', isDict),
    builtin('sequence(value)', (value: Value) => isSequence(value) && sizeOf(value) !== undefined),
    builtin('iterable(value)', isIterable),
    builtin('callable(obj, /)', (value: Value) => value instanceof Callable || value instanceof Undefined),
    builtin('sameas(value, other)', isSame),
    builtin('escaped(value)', (value: Value) => value instanceof Markup),
    builtin('lower(value)', (value: Value) => isLower(toText(value)), 2 * CHANGE),
    builtin('upper(value)', (value: Value) => isUpper(toText(value)), 2 * CHANGE),
    builtin('odd(value)', (value: Value) => equals(operate('%', value, 2), 1)),
    builtin('even(value)', (value: Value) => divides(value, 2)),
    builtin('divisibleby(value, num)', divides),
    builtin('in(value, seq)', (value: Value, container: Value) => contains(container, value)),
    builtin('filter(value)', (value: Value) => typeof value === 'string' && hasFilter(value)),
    builtin('test(value)', (value: Value): boolean => typeof value === 'string' && tests.has(value)),
    ...named('== eq equalto', equals),
    ...named('!= ne', (a, b) => !equals(a, b)),
    ...named('> gt greaterthan', (a, b) => isOrdered(a, '>', b)),
    ...named('>= ge', (a, b) => isOrdered(a, '>=', b)),
    ...named('< lt lessthan', (a, b) => isOrdered(a, '<', b)),
    ...named('<= le', (a, b) => isOrdered(a, '<=', b)),
  ]);
  return tests;
}
