/** Tokens to statements. */
import type { Expression, Signature, Statement } from './ast';
import type { JinjaError } from './errors';
import { tokenize } from './lexer';
import { ExpressionParser } from './parse-expression';
import { TokenStream } from './token-stream';

/** Python refuses to compile much more than this. */
const MAX_NESTING = 100;

export function parseTemplate(template: string): Statement[] {
  return new Parser(new TokenStream(tokenize(template))).parseAll();
}

class Parser {
  private readonly expressions: ExpressionParser;
  /** What would close each open statement, innermost last, with the statement's own name. */
  private readonly open: { readonly tag: string; readonly ends: readonly string[] }[] = [];
  /** Whether `break` and `continue` have a loop here: a macro's body is a function of its own. */
  private inLoop = false;
  private readonly blocks = new Set<string>();

  constructor(private readonly stream: TokenStream) {
    this.expressions = new ExpressionParser(stream);
  }

  parseAll(): Statement[] {
    return this.parseUntil();
  }

  /** Statements up to a tag that is one of `ends`, whose name is then the current token. */
  private parseUntil(ends: readonly string[] = []): Statement[] {
    const { stream } = this;
    const statements: Statement[] = [];
    for (;;) {
      const { type, value, line } = stream.current;
      switch (type) {
        case 'eof':
          if (ends.length > 0) throw this.nestingError('Unexpected end of template.');
          return statements;
        case 'data':
          statements.push({ kind: 'text', text: value, line });
          stream.next();
          break;
        case '{{':
          stream.next();
          statements.push({ kind: 'output', expression: this.expressions.parseTuple(), line });
          stream.expect('}}');
          break;
        default:
          stream.expect('{%');
          if (stream.isName(...ends)) return statements;
          statements.push(...this.parseStatement());
          stream.expect('%}');
      }
    }
  }

  private parseBody(tag: string, ...ends: readonly string[]): Statement[] {
    this.stream.skip(':');
    this.stream.expect('%}');
    if (this.open.length >= MAX_NESTING) throw this.stream.error('Too many statements are nested');
    this.open.push({ tag, ends });
    const body = this.parseUntil(ends);
    this.open.pop();
    return body;
  }

  /** A body that ends with `end`, which is passed. */
  private parseWholeBody(tag: string, end: string): Statement[] {
    const body = this.parseBody(tag, end);
    this.stream.next();
    return body;
  }

  private parseWith<T>(inLoop: boolean, parse: () => T): T {
    const before = this.inLoop;
    this.inLoop = inLoop;
    const result = parse();
    this.inLoop = before;
    return result;
  }

  private parseStatement(): Statement[] {
    const { stream, expressions } = this;
    if (!stream.is('name')) throw stream.error('tag name expected');
    const { value: tag, line } = stream.next();
    switch (tag) {
      case 'set':
        return [this.parseSet(line)];
      case 'for':
        return [this.parseFor(line)];
      case 'if':
        return [this.parseIf(line)];
      case 'macro': {
        const name = expressions.parseTargetName();
        const signature = this.parseSignature();
        const body = this.parseWith(false, () => this.parseWholeBody(tag, 'endmacro'));
        return [{ kind: 'macro', name, signature, body, line }];
      }
      case 'call': {
        const signature = stream.is('(') ? this.parseSignature() : { names: [], defaults: [] };
        const call = expressions.parse();
        if (call.kind !== 'call') throw stream.error('expected call', line);
        const body = this.parseWith(false, () => this.parseWholeBody(tag, 'endcall'));
        return [{ kind: 'call block', call, signature, body, line }];
      }
      case 'filter': {
        const filter = expressions.parseFilters(undefined, true)!;
        return [{ kind: 'filter block', filter, body: this.parseWholeBody(tag, 'endfilter'), line }];
      }
      case 'with':
        return [this.parseWithBlock(line)];
      case 'generation': {
        const body = this.parseWith(false, () => this.parseWholeBody(tag, 'endgeneration'));
        return [{ kind: 'generation', body, line }];
      }
      case 'break':
      case 'continue':
        if (!this.inLoop) {
          throw stream.error(tag === 'break' ? "'break' outside loop" : "'continue' not properly in loop", line);
        }
        return [{ kind: tag, line }];
      case 'print':
        return this.parsePrint(line);
      case 'block':
        return [this.parseBlock(line)];
      case 'autoescape': {
        const value = expressions.parse();
        if (value.kind !== 'constant' || value.value !== false)
          throw stream.error('autoescape has no place in a chat template', line);
        return [{ kind: 'with', assignments: [], body: this.parseWholeBody(tag, 'endautoescape'), line }];
      }
      case 'extends':
      case 'include':
      case 'import':
      case 'from':
        while (!stream.is('%}') && !stream.is('eof')) stream.next();
        return [{ kind: 'refused', message: `'${tag}' needs other templates, and a chat template has none`, line }];
      default:
        throw this.nestingError(`Encountered unknown tag '${tag}'.`, line);
    }
  }

  private parseSet(line: number): Statement {
    const target = this.expressions.parseTarget({ namespaces: true });
    if (this.stream.skip('=')) return { kind: 'set', target, value: this.expressions.parseTuple(), line };
    const filter = this.expressions.parseFilters(undefined);
    return { kind: 'set block', target, filter, body: this.parseWholeBody('set', 'endset'), line };
  }

  private parseFor(line: number): Statement {
    const { stream, expressions } = this;
    const target = expressions.parseTarget({ end: 'in' });
    stream.expectName('in');
    const iterable = expressions.parseTuple({ conditions: false, end: 'recursive' });
    const test = stream.skipName('if') ? expressions.parse() : undefined;
    const recursive = stream.skipName('recursive');
    const body = this.parseWith(true, () => this.parseBody('for', 'endfor', 'else'));
    // A recursive loop is a function of its own, whose else part lies outside any loop.
    const otherwise =
      stream.next().value === 'else'
        ? this.parseWith(this.inLoop && !recursive, () => this.parseWholeBody('for', 'endfor'))
        : [];
    return { kind: 'for', target, iterable, test, recursive, body, otherwise, line };
  }

  private parseIf(line: number): Statement {
    const branches: { test: Expression; body: Statement[] }[] = [];
    for (;;) {
      const test = this.expressions.parseTuple({ conditions: false });
      branches.push({ test, body: this.parseBody('if', 'elif', 'else', 'endif') });
      const end = this.stream.next().value;
      if (end === 'elif') continue;
      return { kind: 'if', branches, otherwise: end === 'else' ? this.parseWholeBody('if', 'endif') : [], line };
    }
  }

  private parseWithBlock(line: number): Statement {
    const assignments: (readonly [ReturnType<ExpressionParser['parseTarget']>, Expression])[] = [];
    while (!this.stream.is('%}')) {
      if (assignments.length > 0) this.stream.expect(',');
      const target = this.expressions.parseTarget();
      this.stream.expect('=');
      assignments.push([target, this.expressions.parse()]);
    }
    return { kind: 'with', assignments, body: this.parseWholeBody('with', 'endwith'), line };
  }

  private parsePrint(line: number): Statement[] {
    const outputs: Statement[] = [];
    while (!this.stream.is('%}')) {
      if (outputs.length > 0) this.stream.expect(',');
      outputs.push({ kind: 'output', expression: this.expressions.parse(), line });
    }
    return outputs;
  }

  private parseBlock(line: number): Statement {
    const name = this.stream.expect('name').value;
    if (this.blocks.has(name)) throw this.stream.error(`block '${name}' defined twice`, line);
    this.blocks.add(name);
    this.stream.skipName('scoped');
    this.stream.skipName('required');
    const body = this.parseWith(false, () => this.parseWholeBody('block', 'endblock'));
    this.stream.skipName(name);
    return { kind: 'block', name, body, line };
  }

  private parseSignature(): Signature {
    const { stream, expressions } = this;
    const names: string[] = [];
    const defaults: Expression[] = [];
    stream.expect('(');
    while (!stream.is(')')) {
      if (names.length > 0) stream.expect(',');
      const name = expressions.parseTargetName();
      if (names.includes(name)) throw stream.error(`duplicate argument '${name}' in function definition`);
      if (stream.skip('=')) defaults.push(expressions.parse());
      else if (defaults.length > 0) throw stream.error('non-default argument follows default argument');
      names.push(name);
    }
    stream.next();
    return { names, defaults };
  }

  private nestingError(message: string, line?: number): JinjaError {
    const innermost = this.open.at(-1);
    const looking = innermost
      ? ` Jinja was looking for the following tags: ${innermost.ends.map((end) => `'${end}'`).join(' or ')}. The innermost block that needs to be closed is '${innermost.tag}'.`
      : '';
    return this.stream.error(message + looking, line);
  }
}
