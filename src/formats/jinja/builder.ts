/** Texts that are made piece by piece, which costs fuel by the piece and by the character. */
import { checkLength, spendReading, spendSteps, spendText, WALK } from './fuel';

/** Pieces, and characters of them, that are put together at once: added one by one they take 32 bytes each. */
const PIECES = 1024;
const CHARACTERS = 65_536;

export class TextBuilder {
  private readonly parts: string[] = [];
  private pieces: string[] = [];
  private pending = 0;
  private length = 0;

  add(piece: string): void {
    this.pieces.push(piece);
    this.pending += piece.length;
    if (this.pieces.length >= PIECES || this.pending >= CHARACTERS) this.flush();
  }

  finish(): string {
    this.flush();
    return this.parts.length === 1 ? this.parts[0]! : this.parts.join('');
  }

  private flush(): void {
    this.length += this.pending;
    checkLength(this.length);
    spendReading(WALK * this.pieces.length);
    spendText(this.pending);
    this.parts.push(this.pieces.join(''));
    this.pieces = [];
    this.pending = 0;
  }
}

/** A text of one piece for each character (code point) of another. */
export function mapCharacters(text: string, change: (character: string) => string): string {
  const builder = new TextBuilder();
  for (const character of text) builder.add(change(character));
  return builder.finish();
}

/** The text with each match of a global pattern replaced, as `String.replace` does, which keeps an object for each. */
export function replaceMatches(text: string, pattern: RegExp, change: (match: RegExpExecArray) => string): string {
  spendReading(2 * text.length);
  const builder = new TextBuilder();
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    spendSteps();
    if (match.index > end) builder.add(text.slice(end, match.index));
    builder.add(change(match));
    end = match.index + match[0].length;
  }
  if (end === 0) return text;
  builder.add(text.slice(end));
  return builder.finish();
}
