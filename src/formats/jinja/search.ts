/** Texts within texts. An engine's own search may compare all of a long part at each place; this one takes linear time. */
import { spendReading } from './fuel';

/** Characters of a part up to which the engine's search is asked. */
const SHORT_PART = 64;

/** So many characters of a short part may make each place of the text count once more. */
const COMPARED_AT_ONCE = 8;

/** How much longer looking for a long part takes at each character. */
const LONG_WEIGHT = 3;

export class Finder {
  /** For each character of a long part the length of the part's begin that ends there, but for the whole. */
  private readonly borders: Int32Array | undefined;

  /** Costs what going through the text once does. `part` is not empty. */
  constructor(
    private readonly text: string,
    private readonly part: string,
  ) {
    const isLong = part.length > SHORT_PART;
    spendReading(text.length * (isLong ? LONG_WEIGHT : 1 + Math.floor(part.length / COMPARED_AT_ONCE)));
    if (isLong && part.length <= text.length) this.borders = findBorders(part);
  }

  /** The first place of the part from `from` on; -1 where there is none. */
  first(from = 0): number {
    const { text, part, borders } = this;
    if (part.length > text.length - from) return -1;
    if (!borders) return text.indexOf(part, from);
    return this.scan(borders, from, true);
  }

  last(): number {
    const { text, part, borders } = this;
    if (part.length > text.length) return -1;
    return borders ? this.scan(borders, 0, false) : text.lastIndexOf(part);
  }

  /** Knuth, Morris and Pratt 1977. */
  private scan(borders: Int32Array, from: number, isFirst: boolean): number {
    const { text, part } = this;
    let found = -1;
    let same = 0;
    for (let at = from; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      while (same > 0 && (same === part.length || part.charCodeAt(same) !== unit)) same = borders[same - 1]!;
      if (part.charCodeAt(same) === unit) same++;
      if (same < part.length) continue;
      found = at - part.length + 1;
      if (isFirst) return found;
    }
    return found;
  }
}

function findBorders(part: string): Int32Array {
  spendReading(LONG_WEIGHT * part.length);
  const borders = new Int32Array(part.length);
  for (let at = 1, same = 0; at < part.length; at++) {
    const unit = part.charCodeAt(at);
    while (same > 0 && part.charCodeAt(same) !== unit) same = borders[same - 1]!;
    if (part.charCodeAt(same) === unit) same++;
    borders[at] = same;
  }
  return borders;
}
