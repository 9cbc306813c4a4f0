/** Regular expressions in JavaScript's syntax to trees, as far as their language is regular: captures count as groups. */

export type Node =
  /** One character (code point); `source` is a class or an escape. */
  | { readonly kind: 'set'; readonly source: string }
  | { readonly kind: 'sequence'; readonly items: readonly Node[] }
  | { readonly kind: 'choice'; readonly options: readonly Node[] }
  /** `most` is Infinity where there is no end. */
  | {
      readonly kind: 'repeat';
      readonly item: Node;
      readonly least: number;
      readonly most: number;
      readonly lazy: boolean;
    }
  | { readonly kind: 'edge'; readonly edge: '^' | '$' | '\\b' | '\\B' }
  | { readonly kind: 'look'; readonly item: Node; readonly behind: boolean; readonly negated: boolean }
  /** A back reference: no regular language. */
  | { readonly kind: 'reference' };

/** Groups within groups. The longest patterns of tokenizers have three. */
const MAX_DEPTH = 100;

/** Undefined for what isn't read here: syntax of other flags, or too many groups within groups. */
export function parseRegex(source: string): Node | undefined {
  try {
    return new Parser(source).parse();
  } catch (error) {
    if (error === UNREAD) return undefined;
    throw error;
  }
}

const UNREAD = new Error('not read');
/** An escape of one character, by what follows the backslash. */
const ESCAPE =
  /[pP]\{[^}]*\}|u\{[\da-fA-F]+\}|u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z]|[^]/uy;
const QUANTIFIER = /([*+?]|\{(\d+)(,?)(\d*)\})(\??)/y;

class Parser {
  private at = 0;
  private depth = 0;

  constructor(private readonly source: string) {}

  parse(): Node {
    const node = this.choice();
    if (this.at < this.source.length) throw UNREAD;
    return node;
  }

  private choice(): Node {
    if (++this.depth > MAX_DEPTH) throw UNREAD;
    const options = [this.sequence()];
    while (this.skip('|')) options.push(this.sequence());
    this.depth--;
    return options.length === 1 ? options[0]! : { kind: 'choice', options };
  }

  private sequence(): Node {
    const items: Node[] = [];
    while (this.at < this.source.length && this.source[this.at] !== '|' && this.source[this.at] !== ')') {
      items.push(this.quantified(this.atom()));
    }
    return items.length === 1 ? items[0]! : { kind: 'sequence', items };
  }

  private quantified(item: Node): Node {
    const found = this.match(QUANTIFIER);
    if (!found) return item;
    const [, sign = '', least = '', comma = '', most = '', lazy] = found;
    const [from, to] =
      sign === '*'
        ? [0, Infinity]
        : sign === '+'
          ? [1, Infinity]
          : sign === '?'
            ? [0, 1]
            : [Number(least), comma === '' ? Number(least) : most === '' ? Infinity : Number(most)];
    return { kind: 'repeat', item, least: from, most: to, lazy: lazy === '?' };
  }

  private atom(): Node {
    const { source, at } = this;
    const first = source[at]!;
    switch (first) {
      case '(':
        this.at++;
        return this.group();
      case '[':
        return { kind: 'set', source: this.classSource() };
      case '\\':
        return this.escape();
      case '^':
      case '$':
        this.at++;
        return { kind: 'edge', edge: first };
      case '*':
      case '+':
      case '?':
        throw UNREAD;
      default: {
        const character = String.fromCodePoint(source.codePointAt(at)!);
        this.at += character.length;
        return { kind: 'set', source: /[{}\]/]/.test(character) ? `\\${character}` : character };
      }
    }
  }

  private group(): Node {
    const look = this.match(/\?(<?)([=!])/y);
    if (!look && !this.skip('?:') && !this.match(/\?<[\w$]+>/y) && this.source[this.at] === '?') throw UNREAD;
    const item = this.choice();
    if (!this.skip(')')) throw UNREAD;
    return look ? { kind: 'look', item, behind: look[1] === '<', negated: look[2] === '!' } : item;
  }

  private escape(): Node {
    this.at++;
    const [escaped = ''] = this.match(ESCAPE) ?? [];
    if (escaped === 'b' || escaped === 'B') return { kind: 'edge', edge: `\\${escaped}` };
    if (/^[1-9k]$/.test(escaped)) {
      this.match(/\d*|<[^>]*>/y);
      return { kind: 'reference' };
    }
    if (escaped === '') throw UNREAD;
    return { kind: 'set', source: `\\${escaped}` };
  }

  private classSource(): string {
    const found = this.match(/\[(?:[^\]\\]|\\[^])*\]/y);
    if (!found) throw UNREAD;
    return found[0];
  }

  private skip(text: string): boolean {
    const found = this.source.startsWith(text, this.at);
    if (found) this.at += text.length;
    return found;
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.source);
    if (found) this.at += found[0].length;
    return found;
  }
}

/** Whether a node matches nothing at some places. */
export function canBeEmpty(node: Node): boolean {
  switch (node.kind) {
    case 'set':
      return false;
    case 'repeat':
      return node.least === 0 || canBeEmpty(node.item);
    case 'sequence':
      return node.items.every(canBeEmpty);
    case 'choice':
      return node.options.some(canBeEmpty);
    default:
      return true;
  }
}
