/** Expressions, with jinja2's precedence: a filter or test binds to a whole `-x`, `~` stands between `+` and `*`. */
import type { Arguments, Call, Comparison, Expression, FilterOrTest, Operator, Slice, Target } from './ast';
import { describe, type TokenStream } from './token-stream';

/** Python itself stops at about this many parentheses. */
const MAX_DEPTH = 150;

const COMPARISONS: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=']);
const CONSTANTS: ReadonlyMap<string, null | boolean> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]);
const TEST_ARGUMENTS: ReadonlySet<string> = new Set(['name', 'string', 'integer', 'float', '[', '{']);

export class ExpressionParser {
  private depth = 0;

  constructor(private readonly stream: TokenStream) {}

  /** An expression, or several with commas between them, which make a tuple. */
  parseTuple(options: { conditions?: boolean; end?: string; parenthesized?: boolean } = {}): Expression {
    const { stream } = this;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect(',');
      if (this.atTupleEnd(options.end)) break;
      items.push(options.conditions === false ? this.parseOr() : this.parse());
      if (!stream.is(',')) break;
      isTuple = true;
    }
    if (!isTuple && items.length > 0) return items[0]!;
    if (!isTuple && !options.parenthesized)
      throw stream.error(`Expected an expression, got '${describe(stream.current)}'`);
    return { kind: 'tuple', items };
  }

  parse(): Expression {
    if (++this.depth > MAX_DEPTH) throw this.stream.error('The expression is nested too deep');
    let result = this.parseOr();
    while (this.stream.isName('if')) {
      const { line } = this.stream.next();
      const test = this.parseOr();
      const otherwise = this.stream.skipName('else') ? this.parse() : undefined;
      result = { kind: 'condition', test, then: result, otherwise, line };
    }
    this.depth--;
    return result;
  }

  /** What `for`, `set` and `with` assign to. */
  parseTarget(options: { end?: string; namespaces?: boolean } = {}): Target {
    const { stream } = this;
    const items: Target[] = [];
    const { line } = stream.current;
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect(',');
      if (this.atTupleEnd(options.end)) break;
      items.push(this.parseSingleTarget(options));
      if (!stream.is(',')) break;
      isTuple = true;
    }
    if (!isTuple && items.length > 0) return items[0]!;
    if (!isTuple) throw stream.error(`Expected an expression, got '${describe(stream.current)}'`);
    return { kind: 'unpack', items, line };
  }

  /** A name that something is assigned to. */
  parseTargetName(): string {
    const token = this.stream.expect('name');
    if (CONSTANTS.has(token.value)) throw this.stream.error(`can't assign to '${token.value}'`, token.line);
    return token.value;
  }

  /** `| name(…) | …` after `operand`; with `startsInline` the first comes without its bar. */
  parseFilters(operand: Expression | undefined, startsInline = false): FilterOrTest | undefined {
    const { stream } = this;
    let node: FilterOrTest | undefined;
    while (startsInline || stream.is('|')) {
      if (!startsInline) stream.next();
      startsInline = false;
      const { line } = stream.current;
      const name = this.parseDottedName();
      const args = stream.is('(') ? this.parseArguments() : NO_ARGUMENTS;
      node = { kind: 'filter', operand: node ?? operand, name, args, line };
    }
    return node;
  }

  private parseSingleTarget(options: { namespaces?: boolean }): Target {
    const { stream } = this;
    const { line } = stream.current;
    if (stream.is('(')) {
      stream.next();
      if (++this.depth > MAX_DEPTH) throw stream.error('The expression is nested too deep');
      const inner = stream.is(')') ? ({ kind: 'unpack', items: [], line } as const) : this.parseTarget();
      this.depth--;
      stream.expect(')');
      return inner;
    }
    if (!stream.is('name')) throw stream.error(`can't assign to '${describe(stream.current)}'`);
    const name = this.parseTargetName();
    if (!options.namespaces || !stream.skip('.')) return { kind: 'store', name, line };
    return { kind: 'store attribute', name, attribute: stream.expect('name').value, line };
  }

  private atTupleEnd(end: string | undefined): boolean {
    const { stream } = this;
    return stream.is('}}') || stream.is('%}') || stream.is(')') || (end !== undefined && stream.isName(end));
  }

  private parseOr(): Expression {
    let left = this.parseAnd();
    while (this.stream.skipName('or')) left = { kind: 'or', left, right: this.parseAnd() };
    return left;
  }

  private parseAnd(): Expression {
    let left = this.parseNot();
    while (this.stream.skipName('and')) left = { kind: 'and', left, right: this.parseNot() };
    return left;
  }

  private parseNot(): Expression {
    if (!this.stream.isName('not')) return this.parseCompare();
    this.stream.next();
    if (++this.depth > MAX_DEPTH) throw this.stream.error('The expression is nested too deep');
    const operand = this.parseNot();
    this.depth--;
    return { kind: 'not', operand };
  }

  private parseCompare(): Expression {
    const { stream } = this;
    const first = this.parseSum();
    const rest: Comparison[] = [];
    for (;;) {
      if (COMPARISONS.has(stream.current.type)) {
        const operator = stream.next().type as Comparison['operator'];
        rest.push({ operator, operand: this.parseSum() });
      } else if (stream.skipName('in')) {
        rest.push({ operator: 'in', operand: this.parseSum() });
      } else if (stream.isName('not') && stream.following.type === 'name' && stream.following.value === 'in') {
        stream.next();
        stream.next();
        rest.push({ operator: 'not in', operand: this.parseSum() });
      } else {
        return rest.length === 0 ? first : { kind: 'compare', first, rest };
      }
    }
  }

  private parseSum(): Expression {
    let left = this.parseConcat();
    while (this.stream.is('+') || this.stream.is('-')) {
      const operator = this.stream.next().type as Operator;
      left = { kind: 'binary', operator, left, right: this.parseConcat() };
    }
    return left;
  }

  private parseConcat(): Expression {
    const first = this.parseProduct();
    if (!this.stream.is('~')) return first;
    const parts = [first];
    while (this.stream.skip('~')) parts.push(this.parseProduct());
    return { kind: 'concat', parts };
  }

  private parseProduct(): Expression {
    let left = this.parsePower();
    while (['*', '/', '//', '%'].includes(this.stream.current.type)) {
      const operator = this.stream.next().type as Operator;
      left = { kind: 'binary', operator, left, right: this.parsePower() };
    }
    return left;
  }

  private parsePower(): Expression {
    let left = this.parseUnary(true);
    while (this.stream.skip('**')) left = { kind: 'binary', operator: '**', left, right: this.parseUnary(true) };
    return left;
  }

  private parseUnary(withFilters: boolean): Expression {
    const { stream } = this;
    let node: Expression;
    if (stream.is('-') || stream.is('+')) {
      const kind = stream.next().type === '-' ? 'negative' : 'positive';
      if (++this.depth > MAX_DEPTH) throw stream.error('The expression is nested too deep');
      node = { kind, operand: this.parseUnary(false) };
      this.depth--;
    } else {
      node = this.parsePrimary();
    }
    node = this.parsePostfix(node);
    return withFilters ? this.parseFiltersAndTests(node) : node;
  }

  private parsePrimary(): Expression {
    const { stream } = this;
    const token = stream.next();
    switch (token.type) {
      case 'name': {
        const constant = CONSTANTS.get(token.value);
        if (constant !== undefined) return { kind: 'constant', value: constant };
        if (/^\p{N}/u.test(token.value)) throw stream.error('Invalid character in identifier', token.line);
        return { kind: 'name', name: token.value };
      }
      case 'string': {
        let value = token.value;
        while (stream.is('string')) value += stream.next().value;
        return { kind: 'constant', value };
      }
      case 'integer':
        return { kind: 'integer', digits: decimalDigits(token.value) };
      case 'float':
        return { kind: 'float', value: Number(token.value.replaceAll('_', '')) };
      case '(': {
        if (++this.depth > MAX_DEPTH) throw stream.error('The expression is nested too deep');
        const inner = this.parseTuple({ parenthesized: true });
        this.depth--;
        stream.expect(')');
        return inner;
      }
      case '[':
        return { kind: 'list', items: this.parseItems(']', () => this.parse()) };
      case '{':
        return { kind: 'dict', pairs: this.parseItems('}', () => this.parsePair()) };
      default:
        throw stream.error(`unexpected '${describe(token)}'`, token.line);
    }
  }

  private parsePair(): readonly [Expression, Expression] {
    const key = this.parse();
    this.stream.expect(':');
    return [key, this.parse()];
  }

  private parseItems<T>(end: string, parseItem: () => T): T[] {
    const items: T[] = [];
    while (!this.stream.is(end)) {
      if (items.length > 0) this.stream.expect(',');
      if (this.stream.is(end)) break;
      items.push(parseItem());
    }
    this.stream.next();
    return items;
  }

  private parsePostfix(node: Expression): Expression {
    for (;;) {
      if (this.stream.is('.') || this.stream.is('[')) node = this.parseSubscript(node);
      else if (this.stream.is('(')) node = this.parseCall(node);
      else return node;
    }
  }

  private parseFiltersAndTests(node: Expression): Expression {
    for (;;) {
      if (this.stream.is('|')) node = this.parseFilters(node)!;
      else if (this.stream.isName('is')) node = this.parseTest(node);
      else if (this.stream.is('(')) node = this.parseCall(node);
      else return node;
    }
  }

  private parseCall(callee: Expression): Call {
    return { kind: 'call', callee, args: this.parseArguments() };
  }

  private parseSubscript(object: Expression): Expression {
    const { stream } = this;
    if (stream.next().type === '.') {
      const token = stream.next();
      if (token.type === 'name') return { kind: 'attribute', object, name: token.value };
      if (token.type !== 'integer') throw stream.error('expected name or number', token.line);
      return { kind: 'item', object, key: { kind: 'integer', digits: decimalDigits(token.value) } };
    }
    const keys: Expression[] = [];
    while (!stream.is(']')) {
      if (keys.length > 0) stream.expect(',');
      keys.push(this.parseKey());
    }
    stream.next();
    return { kind: 'item', object, key: keys.length === 1 ? keys[0]! : { kind: 'tuple', items: keys } };
  }

  private parseKey(): Expression | Slice {
    const { stream } = this;
    const start = stream.is(':') ? undefined : this.parse();
    if (!stream.skip(':')) return start!;
    const atEnd = () => stream.is(']') || stream.is(',');
    const stop = stream.is(':') || atEnd() ? undefined : this.parse();
    const step = !stream.skip(':') || atEnd() ? undefined : this.parse();
    return { kind: 'slice', start, stop, step };
  }

  private parseTest(operand: Expression): Expression {
    const { stream } = this;
    const { line } = stream.next();
    const negated = stream.skipName('not');
    const name = this.parseDottedName();
    let args = NO_ARGUMENTS;
    if (stream.is('(')) {
      args = this.parseArguments();
    } else if (TEST_ARGUMENTS.has(stream.current.type) && !stream.isName('else', 'or', 'and')) {
      if (stream.isName('is')) throw stream.error('You cannot chain multiple tests with is');
      args = { ...NO_ARGUMENTS, positional: [this.parsePostfix(this.parsePrimary())] };
    }
    const test: Expression = { kind: 'test', operand, name, args, line };
    return negated ? { kind: 'not', operand: test } : test;
  }

  private parseDottedName(): string {
    let name = this.stream.expect('name').value;
    while (this.stream.skip('.')) name += `.${this.stream.expect('name').value}`;
    return name;
  }

  private parseArguments(): Arguments {
    const { stream } = this;
    const { line } = stream.expect('(');
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let spread: Expression | undefined;
    let namedSpread: Expression | undefined;
    const ensure = (valid: boolean) => {
      if (!valid) throw stream.error('invalid syntax for function call expression', line);
    };
    for (let first = true; !stream.is(')'); first = false) {
      if (!first) stream.expect(',');
      if (stream.is(')')) break;
      if (stream.skip('*')) {
        ensure(!spread && !namedSpread);
        spread = this.parse();
      } else if (stream.skip('**')) {
        ensure(!namedSpread);
        namedSpread = this.parse();
      } else if (stream.is('name') && stream.following.type === '=') {
        ensure(!namedSpread);
        const name = stream.next().value;
        stream.next();
        if (named.some(([other]) => other === name)) throw stream.error(`keyword argument repeated: ${name}`);
        named.push([name, this.parse()]);
      } else {
        ensure(!spread && !namedSpread && named.length === 0);
        positional.push(this.parse());
      }
    }
    stream.expect(')');
    return { positional, named, spread, namedSpread };
  }
}

export const NO_ARGUMENTS: Arguments = { positional: [], named: [], spread: undefined, namedSpread: undefined };

/** Decimal digits of an integer literal of any base. */
function decimalDigits(literal: string): string {
  return BigInt(literal.replaceAll('_', '').toLowerCase()).toString();
}
