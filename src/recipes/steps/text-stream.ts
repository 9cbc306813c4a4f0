/** Tokens to text as they come: only whole characters leave, and nothing that may turn out to be a stop text. */
import type { Tokenizer } from '../../core/text';

const REPLACEMENT = '\uFFFD';
/** A character has at most four bytes: of more tokens, those that come first are whole or really broken. */
const MOST_TOKENS_OF_A_CHARACTER = 4;

export class TextStream {
  private readonly ids: number[];
  /** Tokens from `context` are decoded together, as spaces depend on what is before; up to `shown` they have left. */
  private context = 0;
  private shown: number;
  /** Text that may be the beginning of a stop text. */
  private held = '';
  private done = false;

  /**
   * `before` are the tokens that the text goes on from. With none, a tokenizer that marks word starts drops the space
   * at the start, as `decode` does.
   */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly stop: readonly string[] = [],
    before: readonly number[] = [],
  ) {
    this.ids = before.slice(-MOST_TOKENS_OF_A_CHARACTER);
    this.shown = this.ids.length;
  }

  /** Whether a stop text has come; the text ends before it. */
  get stopped(): boolean {
    return this.done;
  }

  /** Takes the next token; returns the text that is certain by now, perhaps none. */
  push(id: number): string {
    if (this.done) return '';
    this.ids.push(id);
    return this.release(this.decodeNew(false), false);
  }

  /** The rest, when no token will follow. */
  finish(): string {
    if (this.done) return '';
    const rest = this.release(this.decodeNew(true), true);
    this.done = true;
    return rest;
  }

  private decodeNew(last: boolean): string {
    const decode = (end?: number) =>
      this.tokenizer.decode(this.ids.slice(this.context, end), { skipSpecialTokens: true });
    const before = decode(this.shown);
    const text = decode();
    let [certain, end] = [text, this.ids.length];
    if (text.endsWith(REPLACEMENT) && !last) {
      // The last character may want more bytes. It begins with the last token that made the text longer.
      if (end - this.shown < MOST_TOKENS_OF_A_CHARACTER) return '';
      do certain = decode(--end);
      while (certain.length === text.length && end > this.shown);
      if (!text.startsWith(certain)) [certain, end] = [text, this.ids.length];
    }
    if (certain.length <= before.length && !last) return '';
    this.context = this.shown;
    this.shown = end;
    return certain.slice(before.length);
  }

  private release(text: string, last: boolean): string {
    const pending = this.held + text;
    const found = this.stop.map((stop) => pending.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.done = true;
      return pending.slice(0, Math.min(...found));
    }
    const keep = last ? 0 : longestOverlap(pending, this.stop);
    this.held = pending.slice(pending.length - keep);
    return pending.slice(0, pending.length - keep);
  }
}

/** Length of the longest end of `text` that is the beginning of a stop text. */
function longestOverlap(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
