/** Functions that templates call: their parameters, as Python binds arguments to them. */
import { JinjaError } from './errors';
import { spendReading, spendSteps } from './fuel';
import { textOf, type CallArguments, type Value } from './values';

/** A function, filter, test or method. `undefined` stands for an argument that wasn't given. */
export interface Builtin {
  readonly name: string;
  readonly parameters: readonly string[];
  /** How many of the parameters must be given. */
  readonly required: number;
  /** Whether arguments can be given by name. */
  readonly named: boolean;
  /** What it takes for each character of the texts that it is given, at least: 1 where the engine looks at them. */
  readonly weight: number;
  readonly run: (...args: (Value | undefined)[]) => Value;
}

type Run<T extends readonly (Value | undefined)[]> = (...args: T) => Value;

/**
 * A function from its signature, as `replace(old, new, count?)`; `?` marks what may be left out, and a `/` at the end
 * parameters that can't be given by name.
 */
export function builtin(signature: string, run: Run<Value[]> | ((...args: never[]) => Value), weight = 1): Builtin {
  const [, name = '', list = ''] = /^(\S+?)\((.*)\)$/.exec(signature) ?? [];
  const parts = list.split(',').map((part) => part.trim());
  const parameters = parts.filter((part) => part !== '' && part !== '/');
  return {
    name,
    parameters: parameters.map((part) => part.replace('?', '')),
    required: parameters.filter((part) => !part.endsWith('?')).length,
    named: !parts.includes('/'),
    weight,
    run: run as Builtin['run'],
  };
}

export function table(builtins: readonly Builtin[]): Map<string, Builtin> {
  return new Map(builtins.map((item) => [item.name, item]));
}

/** Calls a function whose first parameter is `self`: what a filter is applied to, or a method's object. */
export function callWith(builtin: Builtin, self: Value, args: CallArguments): Value {
  const { positional, named } = args;
  const { parameters, weight } = builtin;
  spendSteps();
  spendOn(self, weight);
  for (const value of positional) spendOn(value, weight);
  if (named.size > 0) for (const value of named.values()) spendOn(value, weight);
  if (named.size === 0 && positional.length + 1 >= builtin.required && positional.length < parameters.length) {
    switch (positional.length) {
      case 0:
        return builtin.run(self);
      case 1:
        return builtin.run(self, positional[0]);
      default:
        return builtin.run(self, ...positional);
    }
  }
  return builtin.run(...bind(builtin, [self, ...positional], named, 1));
}

function spendOn(value: Value, weight: number): void {
  const text = textOf(value);
  if (text !== undefined) spendReading(weight * text.length);
}

export function callPlain(builtin: Builtin, args: CallArguments): Value {
  return builtin.run(...bind(builtin, args.positional, args.named, 0));
}

function bind(
  { name, parameters, required, named: takesNames }: Builtin,
  positional: readonly Value[],
  named: ReadonlyMap<string, Value>,
  hidden: number,
): (Value | undefined)[] {
  if (positional.length > parameters.length) {
    const [takes, given] = [parameters.length - hidden, positional.length - hidden];
    throw new JinjaError(`${name}() takes ${takes} argument${takes === 1 ? '' : 's'} but ${given} were given`);
  }
  const bound: (Value | undefined)[] = [...positional];
  for (const [key, value] of named) {
    const index = parameters.indexOf(key);
    if (index < hidden || !takesNames) throw new JinjaError(`${name}() got an unexpected keyword argument '${key}'`);
    if (bound[index] !== undefined) throw new JinjaError(`${name}() got multiple values for argument '${key}'`);
    bound[index] = value;
  }
  for (let i = 0; i < required; i++) {
    if (bound[i] === undefined) throw new JinjaError(`${name}() missing required argument: '${parameters[i]}'`);
  }
  return bound;
}
