/**
 * Text to tokens, with jinja2's rules for white space as Transformers sets them: `trim_blocks`, `lstrip_blocks`, one
 * trailing newline of the template dropped, every kind of line end read as `\n`.
 */
import { JinjaError } from './errors';
import { PYTHON_SPACE, stripEnd } from './text';

/** `type` is `data`, `name`, `string`, `integer`, `float`, `eof`, a delimiter such as `{%`, or an operator's own text. */
export interface Token {
  readonly type: string;
  readonly value: string;
  readonly line: number;
}

const SPACE = PYTHON_SPACE;
const TAG = /\{[%{#]/g;
const RAW_BEGIN = new RegExp(`\\{%([-+]?)${SPACE}*raw${SPACE}*(?:-%\\}${SPACE}*|%\\})`, 'y');
const RAW_END = new RegExp(`\\{%([-+]?)${SPACE}*endraw${SPACE}*(?:\\+%\\}|-%\\}${SPACE}*|%\\}\\n?)`, 'g');
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${SPACE}*|#\\}\\n?`, 'g');
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}${SPACE}*|%\\}\\n?`, 'y');
const VARIABLE_END = new RegExp(`-\\}\\}${SPACE}*|\\}\\}`, 'y');

const RULES: readonly (readonly [string, RegExp])[] = [
  ['float', /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy],
  ['integer', /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ['name', /[\p{L}\p{N}\p{M}\p{Pc}]+/uy],
  ['string', /'[^'\\]*(?:\\[^][^'\\]*)*'|"[^"\\]*(?:\\[^][^"\\]*)*"/y],
  ['operator', /\/\/|\*\*|[=!><]=|[-+/*%~[\](){}><=.:|,;]/y],
];
const SPACES = new RegExp(`${SPACE}+`, 'y');
const ONLY_SPACES = new RegExp(`^${SPACE}+$`);
const CLOSING: Readonly<Record<string, string>> = { '{': '}', '(': ')', '[': ']' };

export function tokenize(template: string): Token[] {
  return new Lexer(template.replace(/\r\n?/g, '\n').replace(/\n$/, '')).run();
}

class Lexer {
  private readonly tokens: Token[] = [];
  private position = 0;
  private line = 1;
  /** Whether what was read last ended a line. */
  private atLineStart = true;

  constructor(private readonly source: string) {}

  run(): Token[] {
    while (this.position < this.source.length) {
      TAG.lastIndex = this.position;
      const tag = TAG.exec(this.source);
      if (!tag) {
        this.addData(this.source.slice(this.position));
        break;
      }
      this.readTag(tag.index, tag[0]);
    }
    this.push('eof', '');
    return this.tokens;
  }

  /** Reads the text before the tag that begins at `start`, and the tag to its end. */
  private readTag(start: number, opening: string): void {
    const text = this.source.slice(this.position, start);
    if (opening === '{%') {
      RAW_BEGIN.lastIndex = start;
      const raw = RAW_BEGIN.exec(this.source);
      if (raw) {
        this.addText(text, raw[1] ?? '', true);
        this.moveTo(RAW_BEGIN.lastIndex, start);
        this.atLineStart = raw[0].endsWith('\n');
        this.readRaw();
        return;
      }
    }
    const sign = this.source[start + 2] === '-' ? '-' : this.source[start + 2] === '+' ? '+' : '';
    this.addText(text, sign, opening !== '{{');
    this.position = start + 2 + sign.length;
    if (opening === '{#') this.readComment();
    else this.readInside(opening, opening === '{%' ? BLOCK_END : VARIABLE_END);
  }

  private readRaw(): void {
    RAW_END.lastIndex = this.position;
    const end = RAW_END.exec(this.source);
    if (!end) throw this.error('Missing end of raw directive');
    this.addText(this.source.slice(this.position, end.index), end[1] ?? '', true);
    this.moveTo(RAW_END.lastIndex, end.index);
    this.atLineStart = end[0].endsWith('\n');
  }

  private readComment(): void {
    COMMENT_END.lastIndex = this.position;
    const end = COMMENT_END.exec(this.source);
    if (!end) throw this.error('Missing end of comment tag');
    this.moveTo(COMMENT_END.lastIndex);
    this.atLineStart = end[0].endsWith('\n');
  }

  private readInside(opening: string, ending: RegExp): void {
    this.push(opening, opening);
    const open: string[] = [];
    for (;;) {
      if (open.length === 0) {
        const end = this.match(ending);
        if (end !== undefined) {
          this.push(opening === '{%' ? '%}' : '}}', end);
          this.advance(end);
          this.atLineStart = end.endsWith('\n');
          return;
        }
      }
      if (this.position >= this.source.length) return;
      const space = this.match(SPACES);
      if (space === undefined) this.readToken(open);
      else this.advance(space);
    }
  }

  private readToken(open: string[]): void {
    for (const [type, rule] of RULES) {
      const text = this.match(rule);
      if (text === undefined) continue;
      if (type === 'operator') {
        if (text in CLOSING) open.push(CLOSING[text]!);
        else if (text === '}' || text === ')' || text === ']') this.close(open, text);
        this.push(text, text);
      } else {
        this.push(type, type === 'string' ? this.unescape(text.slice(1, -1)) : text);
      }
      this.advance(text);
      return;
    }
    const character = String.fromCodePoint(this.source.codePointAt(this.position)!);
    throw this.error(`unexpected char '${character}' at ${this.position}`);
  }

  private close(open: string[], text: string): void {
    const expected = open.pop();
    if (expected === undefined) throw this.error(`unexpected '${text}'`);
    if (expected !== text) throw this.error(`unexpected '${text}', expected '${expected}'`);
  }

  /** Text before a tag: `-` takes all white space before it, a block without `+` the indentation of its line. */
  private addText(text: string, sign: string, indented: boolean): void {
    if (sign === '-') {
      this.addData(stripEnd(text), text);
      return;
    }
    const lineStart = text.lastIndexOf('\n') + 1;
    const blank = (lineStart > 0 || this.atLineStart) && ONLY_SPACES.test(text.slice(lineStart));
    this.addData(sign !== '+' && indented && blank ? text.slice(0, lineStart) : text, text);
  }

  private addData(data: string, read = data): void {
    if (data !== '') this.push('data', data);
    this.countLines(read);
  }

  private match(rule: RegExp): string | undefined {
    rule.lastIndex = this.position;
    return rule.exec(this.source)?.[0];
  }

  private push(type: string, value: string): void {
    this.tokens.push({ type, value, line: this.line });
  }

  private advance(text: string): void {
    this.position += text.length;
    this.countLines(text);
  }

  private moveTo(position: number, from = this.position): void {
    this.countLines(this.source.slice(from, position));
    this.position = position;
  }

  private countLines(text: string): void {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.line++;
  }

  /** Python's `unicode-escape` after `backslashreplace`, which is how jinja2 reads a string. */
  private unescape(text: string): string {
    if (!text.includes('\\')) return text;
    return text.replace(
      /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([^]))/gu,
      (escape: string, x?: string, u?: string, U?: string, octal?: string, single?: string) => {
        const hex = x ?? u ?? U;
        if (hex !== undefined) {
          const code = parseInt(hex, 16);
          if (code > 0x10ffff) throw this.error('illegal Unicode character');
          return String.fromCodePoint(code);
        }
        if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8));
        if (single === undefined) return escape;
        if ('xuUN'.includes(single)) throw this.error(`can't decode the escape \\${single} in a string`);
        const code = single.codePointAt(0)!;
        if (code > 127) return `\\${backslashReplaced(code)}`;
        return ESCAPES[single] ?? escape;
      },
    );
  }

  private error(message: string): JinjaError {
    return new JinjaError(message, { line: this.line });
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** What stands after the backslash that Python puts for a character beyond ASCII: the backslash before it escapes that one. */
function backslashReplaced(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `u${hex.padStart(4, '0')}` : `U${hex.padStart(8, '0')}`;
}
