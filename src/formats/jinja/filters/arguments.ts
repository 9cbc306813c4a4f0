/** What filters make of their arguments. */
import { getItem } from '../access';
import { JinjaError } from '../errors';
import { CHANGE, spendParts, spendReading, spendSteps } from '../fuel';
import { toText } from '../printing';
import { toLower } from '../text';
import { intOf, isTrue, Markup, textOf, typeName, Undefined, type Value } from '../values';

export type Argument = Value | undefined;

/** An int; `otherwise` where none is given. */
export function integer(value: Argument, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (value instanceof Undefined) throw value.fail();
  const found = intOf(value);
  if (found === undefined) throw new JinjaError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  return Number(found);
}

export function flag(value: Argument): boolean {
  return value !== undefined && isTrue(value);
}

/** Applies a change to the text of any value; marked text stays marked. */
export function changeText(value: Value, change: (text: string) => string): Value {
  return value instanceof Markup ? new Markup(change(value.text)) : change(toText(value));
}

/** A str, where Python would fail on anything else. */
export function strictText(value: Argument, filter: string): string {
  const text = textOf(value);
  if (text !== undefined) return text;
  if (value instanceof Undefined) throw value.fail();
  throw new JinjaError(`the filter '${filter}' wants text, not ${typeName(value ?? null)}`);
}

/** Text in lower case where letters' case doesn't count. */
export function foldCase(value: Value): Value {
  const text = textOf(value);
  if (text === undefined) return value;
  spendReading(CHANGE * text.length);
  return toLower(text);
}

export type Getter = (item: Value) => Value;

/**
 * Reads an attribute of each item: `a.b.0` goes through several, and a whole number is an index.
 * `otherwise` stands for what is undefined on the way.
 */
export function attributeGetter(attribute: Argument, otherwise?: Value): Getter {
  const path = attributePath(attribute);
  return (item) => {
    spendSteps(path.length);
    for (const part of path) {
      item = getItem(item, part);
      if (item instanceof Undefined && otherwise !== undefined && otherwise !== null) item = otherwise;
    }
    return item;
  };
}

function attributePath(attribute: Argument): Value[] {
  if (attribute === undefined || attribute === null) return [];
  const text = textOf(attribute);
  if (text === undefined) return [attribute];
  spendParts(text.length);
  return text.split('.').map((part) => (/^\p{Nd}+$/u.test(part) ? Number(part) : part));
}

/** The key of `sort(attribute='a,b')`: one value for each name. */
export function attributesGetter(attribute: Argument, caseSensitive: boolean): (item: Value) => Value[] {
  const text = textOf(attribute);
  if (text !== undefined) spendParts(text.length);
  const getters = (text === undefined ? [attribute] : text.split(',')).map((name) => attributeGetter(name));
  return (item) => {
    spendSteps(getters.length);
    return getters.map((get) => (caseSensitive ? get(item) : foldCase(get(item))));
  };
}
