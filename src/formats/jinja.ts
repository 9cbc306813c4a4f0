/**
 * Jinja as Transformers runs it for chat templates (`transformers/utils/chat_template_utils.py`), on
 * `@huggingface/jinja`: trimmed blocks, `raise_exception`, `strftime_now`, `tojson`.
 */
import { Template } from '@huggingface/jinja';
import type { TextSpan } from '../core/text';

/** Names in the template's scope that replace what the library does differently from Python. */
const STRIP = { strip: 'graft_strip', lstrip: 'graft_lstrip', rstrip: 'graft_rstrip' } as const;
const STRFTIME = 'graft_strftime_now';

/**
 * Transformers' `{% generation %}` is a call block with a scope of its own; the library would leave the tags out. This
 * macro is what the block calls, and the two names around it are empty unless spans are asked for.
 */
const GENERATION = { macro: 'graft_generation', open: 'graft_open', close: 'graft_close' } as const;
const GENERATION_MACRO = `{% macro ${GENERATION.macro}() %}{{ ${GENERATION.open} + caller() + ${GENERATION.close} }}{% endmacro %}`;

/** Unicode's noncharacters, two of which mark spans: text that means something has none. */
const NONCHARACTERS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/** A compiled template. The constructor and its methods throw plain errors with the library's or the template's message. */
export class JinjaTemplate {
  /** Whether the template says itself what the assistant generates. */
  readonly marksGeneration: boolean;
  /** Whether the template may ask for the time. */
  readonly readsClock: boolean;
  private readonly template: Template;

  constructor(text: string) {
    const called = text
      .replace(/{%(-?)\s*generation\s*(-?)%}/g, `{%$1 call ${GENERATION.macro}() $2%}`)
      .replace(/{%(-?)\s*endgeneration\s*(-?)%}/g, '{%$1 endcall $2%}');
    this.marksGeneration = called !== text;
    this.readsClock = text.includes('strftime_now');
    this.template = new Template(called);
    replaceBuiltins(this.template.parsed);
    if (this.marksGeneration) this.template.parsed.body.unshift(...new Template(GENERATION_MACRO).parsed.body);
  }

  /** `now` is what `strftime_now` tells, in local time. */
  render(scope: Readonly<Record<string, unknown>>, now: Date): string {
    return this.renderMarked(scope, now, '', '');
  }

  /** The text of the generation blocks within what `render` gives, in order. */
  generationSpans(scope: Readonly<Record<string, unknown>>, now: Date): TextSpan[] {
    const known = JSON.stringify(scope);
    const [open, close] = NONCHARACTERS.filter((character) => !known.includes(character));
    if (open === undefined || close === undefined) throw new Error('The conversation is made of noncharacters');
    const spans: TextSpan[] = [];
    const starts: number[] = [];
    let length = 0;
    for (const part of this.renderMarked(scope, now, open, close).split(new RegExp(`([${open}${close}])`))) {
      if (part === open) starts.push(length);
      else if (part === close) spans.push({ start: starts.pop() ?? 0, end: length });
      else length += part.length;
    }
    return spans;
  }

  private renderMarked(scope: Readonly<Record<string, unknown>>, now: Date, open: string, close: string): string {
    return this.template.render({
      ...scope,
      [GENERATION.open]: open,
      [GENERATION.close]: close,
      [STRIP.strip]: (text: string, characters: string) => stripEnd(stripStart(text, characters), characters),
      [STRIP.lstrip]: stripStart,
      [STRIP.rstrip]: stripEnd,
      [STRFTIME]: (format: string) => strftime(now, format),
    });
  }
}

/**
 * Points two things at our own functions: `text.strip(characters)`, whose argument the library ignores (Qwen3 and
 * SmolLM3 rely on it), and `strftime_now`, which it spells in the machine's language.
 */
function replaceBuiltins(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const children = node instanceof Map ? [...node.entries()].flat() : Object.values(node);
  children.forEach(replaceBuiltins);
  if (isIdentifier(node) && node.value === 'strftime_now') node.value = STRFTIME;
  if (isCall(node) && isMethod(node.callee) && node.args.length === 1) {
    const { object, property } = node.callee;
    if (!Object.hasOwn(STRIP, property.value)) return;
    node.args.unshift(object);
    node.callee = { ...property, value: STRIP[property.value as keyof typeof STRIP] };
  }
}

interface Identifier {
  type: 'Identifier';
  value: string;
}

interface Call {
  callee: unknown;
  args: unknown[];
}

interface Method {
  object: unknown;
  property: Identifier;
}

function isNode(value: unknown, type: string): value is { type: string } & Record<string, unknown> {
  return typeof value === 'object' && value !== null && (value as { type?: unknown }).type === type;
}

function isIdentifier(value: unknown): value is Identifier {
  return isNode(value, 'Identifier') && typeof value['value'] === 'string';
}

function isCall(value: unknown): value is Call {
  return isNode(value, 'CallExpression') && Array.isArray(value['args']);
}

function isMethod(value: unknown): value is Method {
  return isNode(value, 'MemberExpression') && value['computed'] === false && isIdentifier(value['property']);
}

/** Python's `str.lstrip(characters)`. */
function stripStart(text: string, characters: string): string {
  let start = 0;
  while (start < text.length && characters.includes(text[start]!)) start++;
  return text.slice(start);
}

/** Python's `str.rstrip(characters)`. */
function stripEnd(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Python's `strftime` in the C locale, the directives that make up dates and times. */
export function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const values: Readonly<Record<string, string>> = {
    '%': '%',
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, ' '),
    B: MONTHS[date.getMonth()] ?? '',
    b: (MONTHS[date.getMonth()] ?? '').slice(0, 3),
    A: DAYS[date.getDay()] ?? '',
    a: (DAYS[date.getDay()] ?? '').slice(0, 3),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? 'AM' : 'PM',
  };
  return format.replace(/%([%A-Za-z])/g, (directive, letter: string) => values[letter] ?? directive);
}
