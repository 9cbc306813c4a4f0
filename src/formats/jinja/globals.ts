/** Functions that every template has. */
import { makeDict } from './access';
import { JinjaError } from './errors';
import { builtin, callPlain } from './functions';
import { toText } from './printing';
import { Callable, intOf, Namespace, PyObject, Range, typeName, type CallArguments, type Value } from './values';

/** The sandbox's limit. */
const MAX_RANGE = 100_000;

function makeRange({ positional, named }: CallArguments): Range {
  if (named.size > 0) throw new JinjaError('range() takes no keyword arguments');
  if (positional.length < 1 || positional.length > 3)
    throw new JinjaError(`range expected 1 to 3 arguments, got ${positional.length}`);
  const numbers = positional.map((value) => {
    const number = intOf(value);
    if (number === undefined) throw new JinjaError(`'${typeName(value)}' object cannot be interpreted as an integer`);
    return Number(number);
  });
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
  if (step === 0) throw new JinjaError('range() arg 3 must not be zero');
  const range = new Range(start, stop, step);
  if (range.length > MAX_RANGE) {
    throw new JinjaError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`);
  }
  return range;
}

class Cycler extends PyObject {
  readonly type = 'jinja2.utils.Cycler';
  private position = 0;

  constructor(private readonly items: readonly Value[]) {
    super();
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case 'current':
        return this.items[this.position]!;
      case 'pos':
        return this.position;
      case 'next':
        return new Callable('next', () => {
          const item = this.items[this.position]!;
          this.position = (this.position + 1) % this.items.length;
          return item;
        });
      case 'reset':
        return new Callable('reset', () => {
          this.position = 0;
          return null;
        });
      default:
        return undefined;
    }
  }
}

function makeCycler({ positional }: CallArguments): Cycler {
  if (positional.length === 0) throw new JinjaError('at least one item has to be provided');
  return new Cycler(positional);
}

const joiner = builtin('joiner(sep?)', (separator?: Value) => {
  let used = false;
  return new Callable('joiner', () => {
    const text = used ? toText(separator ?? ', ') : '';
    used = true;
    return text;
  });
});

const raiseException = builtin('raise_exception(message)', (message: Value) => {
  throw new JinjaError(toText(message), { raised: true });
});

export const GLOBALS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['range', new Callable('range', makeRange, 'type')],
  ['dict', new Callable('dict', makeDict, 'type')],
  [
    'namespace',
    new Callable('namespace', (args) => {
      const attributes = new Map<string, Value>();
      for (const [key, value] of makeDict(args).pairs()) attributes.set(toText(key), value);
      return new Namespace(attributes);
    }),
  ],
  ['cycler', new Callable('cycler', makeCycler)],
  ['joiner', new Callable('joiner', (args) => callPlain(joiner, args))],
  ['raise_exception', new Callable('raise_exception', (args) => callPlain(raiseException, args))],
  [
    'lipsum',
    new Callable('lipsum', () => {
      throw new JinjaError('lipsum prints random text, which no conversation can be rendered with');
    }),
  ],
]);

/** `strftime_now` of one moment. */
export function strftimeNow(format: (directives: string) => string): Callable {
  const described = builtin('strftime_now(format)', (directives: Value) => {
    if (typeof directives !== 'string') {
      throw new JinjaError(`strftime() argument 1 must be str, not ${typeName(directives)}`);
    }
    return format(directives);
  });
  return new Callable('strftime_now', (args) => callPlain(described, args));
}
