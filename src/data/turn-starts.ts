/** Where the answers of a conversation start: after the prompt that the model will be asked with. */
import { contentOf, type ChatTemplate, type Conversation } from '../core/text';
import type { ContentPlace } from './contents';

/** Characters of prompts that are rendered at most, for each character of the conversation: keeps the work linear. */
const RENDERED_PER_CHARACTER = 32;
/** And what a short conversation may take anyway. */
const RENDERED_AT_LEAST = 50_000;
/** How much of a context a message quotes. */
const QUOTED = 40;

export interface TurnStart {
  /** UTF-16 offset in the rendered conversation. */
  readonly start: number;
  /** How the contexts end where the asked one is not the trained one. */
  readonly mismatch?: { readonly asked: string; readonly trained: string };
}

/**
 * Finds the starts of a conversation's answers. Each prompt is rendered by itself and held against the whole. A long
 * conversation would take time quadratic in its turns: from some length on, a turn is known by what stands between the
 * message before and the answer, which earlier turns after the same role have shown.
 */
export class TurnStarts {
  private left: number;
  /** What the template puts between a message's content and the answer to it, by the message's role. */
  private readonly leads = new Map<string, string>();

  constructor(
    private readonly conversation: Conversation,
    private readonly whole: string,
    private readonly contents: readonly ContentPlace[],
    private readonly template: ChatTemplate,
  ) {
    this.left = RENDERED_AT_LEAST + RENDERED_PER_CHARACTER * whole.length;
  }

  /** The start of the answer at place `turn`, or undefined where the template shows none. */
  find(turn: number): TurnStart | undefined {
    const { whole, contents } = this;
    const { messages } = this.conversation;
    const role = messages[turn - 1]?.role ?? '';
    const before = turn === 0 ? 0 : contents[turn - 1]?.end;
    const lead = this.leads.get(role);
    if (this.left <= 0 && before !== undefined && lead !== undefined && whole.startsWith(lead, before)) {
      return { start: before + lead.length };
    }
    let prompt: string;
    try {
      prompt = this.renderPrompt(turn);
    } catch (error) {
      // Many templates want a user's message first, but show an opening of the assistant's in a conversation.
      const start = contents[turn]?.start;
      if (turn > 0 || start === undefined) throw error;
      return { start };
    }
    if (!whole.startsWith(prompt)) return this.findByAnswer(turn, prompt);
    if (before !== undefined && before <= prompt.length) this.leads.set(role, prompt.slice(before));
    return { start: prompt.length };
  }

  /** Where the turn at that place ends, in a template that closes no turn: where the whole goes on without it. */
  findEnd(turn: number): number {
    const { conversation, whole } = this;
    if (turn === conversation.messages.length - 1) return whole.length;
    if (this.left <= 0) return this.contents[turn]?.end ?? whole.length;
    return commonPrefix(this.renderStart(turn + 1, false), whole);
  }

  private renderPrompt(turn: number): string {
    return this.renderStart(turn, true);
  }

  private renderStart(count: number, addGenerationPrompt: boolean): string {
    const { conversation, template } = this;
    const messages = conversation.messages.slice(0, count);
    const text = template.render({ ...conversation, messages }, { addGenerationPrompt });
    this.left -= text.length;
    return text;
  }

  /**
   * The start of an answer whose prompt is not how the whole begins. Some templates open an answer with more when they
   * ask for one (a block of thought) than when they show one: then what both share is the prompt, as long as it
   * holds the message before and the answer follows it. Others move the system message to the last question
   * (Mistral): then it is enough that the message before and what follows it stand right before the answer.
   */
  private findByAnswer(turn: number, prompt: string): TurnStart | undefined {
    const { whole, contents } = this;
    const { messages } = this.conversation;
    const shared = commonPrefix(prompt, whole);
    const before = contentOf(messages[turn - 1]).trim();
    const beforeEnds = before === '' ? 0 : whole.lastIndexOf(before, shared) + before.length;
    const answer = contentOf(messages[turn]).trim();
    // A template may show the end of an answer only.
    const shown = whole.indexOf(answer, shared) >= 0 || (contents[turn]?.end ?? -1) >= shared;
    if (beforeEnds <= shared && beforeEnds >= before.length && shown) return this.mismatchAt(shared, prompt);

    const asked = before === '' ? -1 : prompt.lastIndexOf(before);
    const place = contents[turn]?.start;
    if (asked < 0 || place === undefined) return undefined;
    const tail = prompt.slice(asked);
    // The answer's own white space is its own, where the template keeps it.
    for (let start = place; start >= tail.length; start--) {
      if (whole.startsWith(tail, start - tail.length)) return this.mismatchAt(start, prompt);
      if (whole[start - 1]!.trim() !== '') break;
    }
    return undefined;
  }

  private mismatchAt(start: number, prompt: string): TurnStart {
    const shared = commonPrefix(prompt, this.whole);
    const from = Math.max(0, Math.min(shared, start) - QUOTED / 2);
    const asked = prompt.slice(from, from + QUOTED);
    return { start, mismatch: { asked, trained: this.whole.slice(from, Math.min(start, from + QUOTED)) } };
  }
}

/** Characters that two texts begin with alike. */
export function commonPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}
