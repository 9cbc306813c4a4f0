/** Text to tokens and conversations to text, as data and recipes see them; src/formats implements both. */

export interface Message {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Ids that end a turn: eos and, where the template closes a turn with another special token, that one. */
  readonly stopTokenIds: readonly number[];
  /** Never equal to an id that is trained; it only fills masked positions. */
  readonly padTokenId: number;
  /** `addSpecialTokens` applies the tokenizer's own post-processor (BOS, EOS); text from a chat template has them already. */
  encode(text: string, options: { addSpecialTokens: boolean }): number[];
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string;
}

/** A stretch of text in UTF-16 units, `end` exclusive. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
}

export interface ChatTemplate {
  /** Where it came from: `tokenizer_config.json`, `chat_template.jinja`, or `alpaca` for the built-in fallback. */
  readonly source: string;
  /** Throws `bad-config` with the template's own complaint where it raises one. */
  render(messages: readonly Message[], options: { addGenerationPrompt: boolean }): string;
  /**
   * What the template itself calls generated (Transformers' `{% generation %}`) in its rendering without a generation
   * prompt; absent in a template that doesn't say. Throws as `render` does.
   */
  generationSpans?(messages: readonly Message[]): TextSpan[];
  /** Of a template that prints today's date: the same template on another day. */
  onDay?(day: Day): ChatTemplate;
}

/** A day of the calendar, `YYYY-MM-DD`. */
export type Day = `${number}-${number}-${number}`;
