/** Tokens, looked at one by one. */
import { JinjaError } from './errors';
import type { Token } from './lexer';

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  '{%': 'begin of statement block',
  '%}': 'end of statement block',
  '{{': 'begin of print statement',
  '}}': 'end of print statement',
  data: 'template data / text',
  eof: 'end of template',
};

export class TokenStream {
  private index = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  get current(): Token {
    return this.tokens[this.index]!;
  }

  /** The token after the current one. */
  get following(): Token {
    return this.tokens[this.index + 1] ?? this.current;
  }

  next(): Token {
    const token = this.current;
    if (token.type !== 'eof') this.index++;
    return token;
  }

  is(type: string): boolean {
    return this.current.type === type;
  }

  isName(...names: readonly string[]): boolean {
    return this.is('name') && names.includes(this.current.value);
  }

  /** Whether the current token was `type`, which is then passed. */
  skip(type: string): boolean {
    const found = this.is(type);
    if (found) this.next();
    return found;
  }

  skipName(name: string): boolean {
    const found = this.isName(name);
    if (found) this.next();
    return found;
  }

  expect(type: string): Token {
    if (!this.is(type)) {
      const found = describe(this.current);
      throw this.error(
        this.is('eof')
          ? `unexpected end of template, expected '${DESCRIPTIONS[type] ?? type}'.`
          : `expected token '${DESCRIPTIONS[type] ?? type}', got '${found}'`,
      );
    }
    return this.next();
  }

  expectName(name: string): Token {
    if (!this.isName(name)) throw this.error(`expected token '${name}', got '${describe(this.current)}'`);
    return this.next();
  }

  error(message: string, line = this.current.line): JinjaError {
    return new JinjaError(message, { line });
  }
}

export function describe(token: Token): string {
  return token.type === 'name' ? token.value : (DESCRIPTIONS[token.type] ?? token.type);
}
