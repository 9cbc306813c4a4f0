/** The `loop` variable. */
import { equals } from './compare';
import { JinjaError } from './errors';
import { spendSteps } from './fuel';
import { Callable, iterate, SizedObject, sizeOf, Tuple, Undefined, type CallArguments, type Value } from './values';

/** Renders the items of a deeper level with the same body. */
export type Recurse = (iterable: Value, depth: number) => string;

export class LoopContext extends SizedObject {
  readonly type = 'jinja2.runtime.LoopContext';
  private index = -1;
  private readonly iterator: Iterator<Value>;
  private length: number | undefined;
  private previous: Value | undefined;
  private current: Value | undefined;
  /** Items that were asked for ahead of their turn. */
  private ahead: Value[] = [];
  /** How many of those have had their turn since. */
  private taken = 0;
  private changedValue: Value | undefined;

  constructor(
    iterable: Value,
    private readonly recurse: Recurse | undefined,
    private readonly depth: number,
  ) {
    super();
    this.length = sizeOf(iterable);
    this.iterator = iterate(iterable);
  }

  /** The next item, or undefined at the end. */
  next(): Value | undefined {
    const item = this.taken < this.ahead.length ? this.ahead[this.taken++] : this.pull();
    if (this.taken === this.ahead.length) {
      this.ahead = [];
      this.taken = 0;
    }
    if (item === undefined) return undefined;
    this.index++;
    this.previous = this.current;
    this.current = item;
    return item;
  }

  size(): number {
    if (this.length === undefined) {
      for (let item = this.pull(); item !== undefined; item = this.pull()) {
        spendSteps();
        this.ahead.push(item);
      }
      this.length = this.index + 1 + this.ahead.length - this.taken;
    }
    return this.length;
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case 'index0':
        return this.index;
      case 'index':
        return this.index + 1;
      case 'first':
        return this.index === 0;
      case 'last':
        return this.peek() === undefined;
      case 'length':
        return this.size();
      case 'revindex':
        return this.size() - this.index;
      case 'revindex0':
        return this.size() - this.index - 1;
      case 'depth':
        return this.depth + 1;
      case 'depth0':
        return this.depth;
      case 'previtem':
        return this.index === 0 ? new Undefined(() => 'there is no previous item') : this.previous;
      case 'nextitem':
        return this.peek() === undefined ? new Undefined(() => 'there is no next item') : this.peek();
      case 'cycle':
        return new Callable('cycle', ({ positional }) => {
          if (positional.length === 0) throw new JinjaError('no items for cycling given');
          return positional[this.index % positional.length]!;
        });
      case 'changed':
        return new Callable('changed', ({ positional }) => this.hasChanged(new Tuple([...positional])));
      default:
        return undefined;
    }
  }

  override describe(): string {
    return `<LoopContext ${this.index + 1}/${this.size()}>`;
  }

  override invoke({ positional }: CallArguments): Value {
    if (!this.recurse) {
      throw new JinjaError("The loop must have the 'recursive' marker to be called recursively.");
    }
    if (positional.length !== 1) throw new JinjaError('loop() takes the items to go on with');
    return this.recurse(positional[0]!, this.depth + 1);
  }

  private pull(): Value | undefined {
    const next = this.iterator.next();
    return next.done ? undefined : next.value;
  }

  private peek(): Value | undefined {
    if (this.taken === this.ahead.length) {
      const item = this.pull();
      if (item !== undefined) this.ahead.push(item);
    }
    return this.ahead[this.taken];
  }

  private hasChanged(value: Tuple): boolean {
    if (this.changedValue !== undefined && equals(this.changedValue, value)) return false;
    this.changedValue = value;
    return true;
  }
}
