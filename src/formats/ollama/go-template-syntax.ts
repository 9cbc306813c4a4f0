/** The part of Go's text/template that Modelfiles are written in: from text to a tree. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';

export type GoNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: GoExpression }
  | { readonly kind: 'set'; readonly variable: string; readonly value: GoExpression }
  | {
      readonly kind: 'if';
      readonly condition: GoExpression;
      readonly then: readonly GoNode[];
      readonly otherwise: readonly GoNode[];
    }
  | {
      readonly kind: 'range';
      /** Names with their `$`; absent where the loop gives its elements no name. */
      readonly index?: string | undefined;
      readonly element?: string | undefined;
      readonly list: GoExpression;
      readonly body: readonly GoNode[];
      readonly otherwise: readonly GoNode[];
    };

export type GoExpression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  /** Of the dot, of a variable, or of another expression, its fields in order. */
  | { readonly kind: 'dot'; readonly fields: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly fields: readonly string[] }
  | { readonly kind: 'field'; readonly of: GoExpression; readonly fields: readonly string[] }
  | { readonly kind: 'call'; readonly name: string; readonly arguments: readonly GoExpression[] };

/** @throws `unsupported` for what Modelfiles have no need of, and for what is no template */
export function parseGoTemplate(text: string): readonly GoNode[] {
  const reader = new Reader(splitActions(text));
  const nodes = parseNodes(reader);
  if (reader.next !== undefined) throw refusal(`{{ ${reader.next.text} }} has nothing that it ends`);
  return nodes;
}

export function refusal(what: string): GraftError {
  return new GraftError('unsupported', `The TEMPLATE of the Modelfile can't be read: ${what}.`);
}

interface Part {
  readonly kind: 'text' | 'action';
  readonly text: string;
}

/** An action, in which a string may hold braces. */
const ACTION = /\{\{(-[ \t\r\n])?((?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|(?!\}\}|[ \t\r\n]-\}\})[^"`])*)([ \t\r\n]-)?\}\}/y;

/** Most characters of a template. */
const MAX_LENGTH = 1_000_000;

/** Text and actions in turn; `{{- ` takes the white space before it, ` -}}` what follows. */
function splitActions(text: string): Part[] {
  if (text.length > MAX_LENGTH) throw refusal('it is too long to be one');
  const parts: Part[] = [];
  let from = 0;
  let trims = false;
  const addText = (piece: string, trimsEnd: boolean) => {
    const begun = trims ? piece.replace(/^[ \t\r\n]+/, '') : piece;
    const kept = trimsEnd ? begun.replace(/[ \t\r\n]+$/, '') : begun;
    if (kept !== '') parts.push({ kind: 'text', text: kept });
  };
  for (let at = text.indexOf('{{'); at >= 0; at = text.indexOf('{{', from)) {
    ACTION.lastIndex = at;
    const found = ACTION.exec(text);
    if (!found) throw refusal(`${quote(text.slice(at, at + 40))} is an action without an end`);
    const [whole, trimsBefore, inner = '', trimsAfter] = found;
    addText(text.slice(from, at), trimsBefore !== undefined);
    const action = inner.trim();
    if (!/^\/\*[^]*\*\/$/.test(action)) parts.push({ kind: 'action', text: action });
    from = at + whole.length;
    trims = trimsAfter !== undefined;
  }
  addText(text.slice(from), false);
  return parts;
}

class Reader {
  private at = 0;

  constructor(private readonly parts: readonly Part[]) {}

  get next(): Part | undefined {
    return this.parts[this.at];
  }

  take(): Part | undefined {
    return this.parts[this.at++];
  }
}

/** Until an action that ends or divides a block, which stays. */
function parseNodes(reader: Reader): GoNode[] {
  const nodes: GoNode[] = [];
  for (let part = reader.next; part; part = reader.next) {
    if (part.kind === 'text') {
      nodes.push({ kind: 'text', text: part.text });
      reader.take();
      continue;
    }
    const [, word = '', rest = ''] = /^(\w*)\s*([^]*)$/.exec(part.text)!;
    if (word === 'end' || word === 'else') return nodes;
    reader.take();
    if (word === 'if') nodes.push(parseIf(reader, rest));
    else if (word === 'range') nodes.push(parseRange(reader, rest));
    else nodes.push(parseAction(part.text));
  }
  return nodes;
}

function parseAction(text: string): GoNode {
  const [, variable, value] = /^(\$\w+)\s*:=\s*([^]+)$/.exec(text) ?? [];
  if (variable !== undefined && value !== undefined) return { kind: 'set', variable, value: parseExpression(value) };
  return { kind: 'print', value: parseExpression(text) };
}

function parseIf(reader: Reader, condition: string): GoNode {
  const then = parseNodes(reader);
  const divider = reader.take()?.text ?? '';
  const [, nested] = /^else\s+if\s+([^]+)$/.exec(divider) ?? [];
  const parsed = parseExpression(condition);
  // `else if` needs no end of its own.
  if (nested !== undefined) return { kind: 'if', condition: parsed, then, otherwise: [parseIf(reader, nested)] };
  return { kind: 'if', condition: parsed, then, otherwise: parseElse(reader, divider) };
}

function parseRange(reader: Reader, head: string): GoNode {
  const [, first, second, list] = /^(?:(\$\w+)\s*(?:,\s*(\$\w+)\s*)?:=)?\s*([^]+)$/.exec(head) ?? [];
  if (list === undefined) throw refusal('a range has no list');
  const body = parseNodes(reader);
  const otherwise = parseElse(reader, reader.take()?.text ?? '');
  const names = second === undefined ? { element: first } : { index: first, element: second };
  return { kind: 'range', ...names, list: parseExpression(list), body, otherwise };
}

/** What stands between `else` and `end`, where the block was divided. */
function parseElse(reader: Reader, divider: string): readonly GoNode[] {
  if (divider === 'end') return [];
  if (divider !== 'else') throw refusal('a block is without an end');
  const nodes = parseNodes(reader);
  if (reader.take()?.text !== 'end') throw refusal('a block is without an end');
  return nodes;
}

/** A string, a number, a path of fields, a word, or a parenthesis. */
const TOKEN = /\s*(?:("(?:[^"\\\n]|\\.)*"|`[^`]*`)|(-?\d+)|(\$\w*(?:\.\w+)*|(?:\.\w+)+|\.)|([a-z]\w*)|([()]))/iy;

interface Token {
  readonly text: string;
  readonly kind: 'string' | 'number' | 'path' | 'word' | 'parenthesis';
}

function parseExpression(text: string): GoExpression {
  const tokens: Token[] = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.trimEnd().length;) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw refusal(`{{ ${text} }} has ${quote(text.slice(at).trim())} in it, which Graft doesn't know`);
    const kinds = ['string', 'number', 'path', 'word', 'parenthesis'] as const;
    const group = found.slice(1).findIndex((part) => part !== undefined);
    tokens.push({ text: found[group + 1]!, kind: kinds[group]! });
  }
  const stream = { tokens, at: 0 };
  const expression = parseCommand(stream, text);
  if (stream.at < tokens.length) throw refusal(`{{ ${text} }} goes on where it should end`);
  return expression;
}

interface Tokens {
  readonly tokens: readonly Token[];
  at: number;
}

/** A function with its arguments, or a value. */
function parseCommand(stream: Tokens, text: string): GoExpression {
  const first = stream.tokens[stream.at];
  if (first?.kind !== 'word' || first.text === 'true' || first.text === 'false') return parseOperand(stream, text);
  stream.at++;
  const operands: GoExpression[] = [];
  while (stream.at < stream.tokens.length && stream.tokens[stream.at]!.text !== ')') {
    operands.push(parseOperand(stream, text));
  }
  return { kind: 'call', name: first.text, arguments: operands };
}

function parseOperand(stream: Tokens, text: string): GoExpression {
  const token = stream.tokens[stream.at++];
  switch (token?.kind) {
    case 'string':
      return { kind: 'literal', value: unquote(token.text) };
    case 'number':
      return { kind: 'literal', value: Number(token.text) };
    case 'word':
      if (token.text === 'true' || token.text === 'false') {
        return { kind: 'literal', value: token.text === 'true' };
      }
      return { kind: 'call', name: token.text, arguments: [] };
    case 'path': {
      const [name = '', ...fields] = token.text.split('.');
      if (name === '') return { kind: 'dot', fields: fields.filter((field) => field !== '') };
      return { kind: 'variable', name, fields };
    }
    case 'parenthesis':
      if (token.text === '(') {
        const inner = parseCommand(stream, text);
        if (stream.tokens[stream.at++]?.text !== ')') throw refusal(`{{ ${text} }} lacks a parenthesis`);
        const after = stream.tokens[stream.at];
        if (after?.kind !== 'path' || !/^\.\w/.test(after.text)) return inner;
        stream.at++;
        return { kind: 'field', of: inner, fields: after.text.split('.').slice(1) };
      }
  }
  throw refusal(`{{ ${text} }} lacks a value`);
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\' };

/** A string of Go, in quotes or between backticks. */
function unquote(text: string): string {
  const inner = text.slice(1, -1);
  if (text.startsWith('`')) return inner;
  return inner.replace(/\\(?:u([\da-f]{4})|U([\da-f]{8})|(.))/gi, (whole, short, long, simple: string | undefined) => {
    const code = (short ?? long) as string | undefined;
    const character = simple === undefined ? String.fromCodePoint(Number.parseInt(code!, 16)) : ESCAPES[simple];
    if (character === undefined) throw refusal(`it has the escape ${whole}`);
    return character;
  });
}
