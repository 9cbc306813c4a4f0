/** Text to tokens and conversations to text, as data and recipes see them; src/formats implements both. */

/**
 * One message as a chat template gets it: role, content, and whatever else the row says of it (`tool_calls`,
 * `reasoning_content`, `name`, …), in the row's order, for a template may print the whole of it.
 */
export interface Message {
  /** `system`, `user`, `assistant`, `tool`, or a role that only some templates know. */
  readonly role: string;
  /** Null or absent where an assistant does nothing but call tools. */
  readonly content?: string | null;
  readonly [field: string]: unknown;
}

/** What a chat template renders. */
export interface Conversation {
  readonly messages: readonly Message[];
  /** JSON schemas of the functions that the assistant may call, as Transformers' `apply_chat_template` takes them. */
  readonly tools?: readonly unknown[];
  readonly documents?: readonly unknown[];
  /** Further variables of the template, as `enable_thinking`: Transformers' `chat_template_kwargs`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** The content of a message, empty where it has none. */
export function contentOf(message: Message | undefined): string {
  return message?.content ?? '';
}

/** A place in a text, in tokens. */
export interface TokenPosition {
  /** Tokens that lie whole before the place. */
  readonly before: number;
  /** Whether the token after them begins before the place and ends after it. */
  readonly straddled: boolean;
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
  /**
   * Encodes text from a chat template and finds places in it, given as ascending offsets in UTF-16 units. Takes time
   * linear in the text and the number of places.
   */
  locate(text: string, offsets: readonly number[]): { ids: number[]; positions: TokenPosition[] };
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
  /** The template itself, in Jinja. */
  readonly text: string;
  /**
   * A template that knows no developers gets their messages as the system's, unless they are rendered `asGiven`.
   * Throws `bad-config` with the template's own complaint where it raises one.
   */
  render(conversation: Conversation, options: { addGenerationPrompt: boolean; asGiven?: boolean }): string;
  /**
   * What the template itself calls generated (Transformers' `{% generation %}`) in its rendering without a generation
   * prompt; absent in a template that doesn't say. Throws as `render` does.
   */
  generationSpans?(conversation: Conversation): TextSpan[];
  /** Of a template that prints today's date: the same template on another day. */
  onDay?(day: Day): ChatTemplate;
}

/** A day of the calendar, `YYYY-MM-DD`. */
export type Day = `${number}-${number}-${number}`;
