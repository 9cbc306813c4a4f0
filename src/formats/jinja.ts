/**
 * Jinja as Transformers runs it for chat templates (`transformers/utils/chat_template_utils.py`), on
 * `@huggingface/jinja`: trimmed blocks, `raise_exception`, `strftime_now`, `tojson`.
 */
import { Template } from '@huggingface/jinja';

/** Names in the template's scope that replace what the library does differently from Python. */
const STRIP = { strip: 'graft_strip', lstrip: 'graft_lstrip', rstrip: 'graft_rstrip' } as const;
const STRFTIME = 'graft_strftime_now';

/** A compiled template. The constructor and `render` throw plain errors with the library's or the template's message. */
export class JinjaTemplate {
  private readonly template: Template;

  constructor(text: string) {
    this.template = new Template(text);
    replaceBuiltins(this.template.parsed);
  }

  /** `now` is what `strftime_now` tells, in local time. */
  render(scope: Readonly<Record<string, unknown>>, now: Date): string {
    return this.template.render({
      ...scope,
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
