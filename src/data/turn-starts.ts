/** Where the answers of a conversation start: after the prompt that the model will be asked with. */
import { contentOf, type ChatTemplate, type Conversation } from '../core/text';
import type { ContentPlace } from './contents';

/** Characters of prompts that are rendered at most, for each character of the conversation: keeps the work linear. */
const RENDERED_PER_CHARACTER = 32;
/** And what a short conversation may take anyway. */
const RENDERED_AT_LEAST = 50_000;
/** How much of a context a message quotes. */
const QUOTED = 40;
/** An answer that no conversation has: a noncharacter. */
const PROBE = '\ufdef';

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
    const place = contents[turn]?.start;
    if (this.left <= 0 && place !== undefined) return { start: place };
    let prompt: string;
    try {
      prompt = this.render(messages.slice(0, turn), true);
    } catch (error) {
      // Many templates want a user's message first, but show an opening of the assistant's in a conversation.
      if (turn > 0 || place === undefined) throw error;
      return { start: place };
    }
    const found = whole.startsWith(prompt) ? { start: prompt.length } : this.findByAnswer(turn, prompt);
    if (found && before !== undefined && before <= found.start) this.leads.set(role, whole.slice(before, found.start));
    return found;
  }

  /** The conversation up to the answer at place `turn`, rendered by itself; undefined where it has become too long to do so. */
  renderUpTo(turn: number): string | undefined {
    return this.left <= 0 ? undefined : this.render(this.conversation.messages.slice(0, turn + 1), false);
  }

  private render(messages: Conversation['messages'], addGenerationPrompt: boolean): string {
    const text = this.template.render({ ...this.conversation, messages }, { addGenerationPrompt });
    this.left -= text.length;
    return text;
  }

  /**
   * The start of an answer whose prompt is not how the whole begins. Some templates open an answer with more when they
   * ask for one (a block of thought) than when they show one: then what both share is the prompt, as far as no answer
   * begins before. Others show earlier messages in another way (Mistral moves the system message to the last question):
   * then it is what follows the message before. In a template that shows the answer before its question it has none.
   */
  private findByAnswer(turn: number, prompt: string): TurnStart | undefined {
    const { whole, contents } = this;
    const before = turn === 0 ? 0 : contents[turn - 1]?.end;
    const { start: place, end } = contents[turn] ?? {};
    if (before === undefined) {
      const start = this.startBehindHidden(turn, prompt);
      return start === undefined ? undefined : this.mismatchAt(start, prompt);
    }
    const lead = this.measureLead(turn, prompt);
    const agreed = before + commonPrefix(lead, whole.slice(before, before + lead.length));
    const start = Math.min(agreed, place ?? agreed, this.measureOpening(turn) ?? agreed);
    const hasNone = contentOf(this.conversation.messages[turn]).trim() === '';
    const isAfter = start >= before && (hasNone || (end ?? -1) >= start);
    return isAfter ? this.mismatchAt(start, prompt) : undefined;
  }

  /** Behind a message of which nothing is shown: where the opening of an answer, or what the template shows for one, ends. */
  private startBehindHidden(turn: number, prompt: string): number | undefined {
    const { whole, contents, conversation } = this;
    const place = contents[turn]?.start;
    const opening = Math.min(this.measureOpening(turn) ?? Infinity, place ?? Infinity);
    const before = contents.slice(0, turn).findLast(({ end }) => end !== undefined)?.end ?? 0;
    if (opening === Infinity || opening < before) return undefined;
    const closed = this.render(conversation.messages.slice(0, turn), false);
    const lead = prompt.startsWith(closed) ? prompt.slice(closed.length) : '';
    const at = lead === '' ? -1 : whole.slice(before, opening).lastIndexOf(lead);
    return at < 0 ? opening : before + at + lead.length;
  }

  /** What follows the message before in the prompt of an answer: the prompt itself of a conversation's first message. */
  private measureLead(turn: number, prompt: string): string {
    if (turn === 0) return prompt;
    const messages = this.conversation.messages.slice(0, turn);
    const question = messages[turn - 1]!;
    const content = contentOf(question);
    const core = content.trimEnd();
    try {
      const probed = { ...question, content: core + PROBE + content.slice(core.length) };
      const shown = this.render([...messages.slice(0, -1), probed], true);
      const at = shown.lastIndexOf(PROBE);
      if (at >= 0 && prompt.endsWith(shown.slice(at + 1))) return shown.slice(at + 1);
    } catch {
      // A template may refuse a content for what it is.
    }
    const asked = prompt.lastIndexOf(content.trim());
    return asked < 0 ? '' : prompt.slice(asked + content.trim().length);
  }

  /** Characters up to the answer in how the template shows one, if the whole begins so. */
  private measureOpening(turn: number): number | undefined {
    const { messages } = this.conversation;
    const probed = messages.map((message, i) => (i === turn ? { ...message, content: PROBE } : message));
    try {
      const shown = this.render(probed, false);
      const at = shown.lastIndexOf(PROBE);
      return at >= 0 && this.whole.startsWith(shown.slice(0, at)) ? at : undefined;
    } catch {
      return undefined;
    }
  }

  private mismatchAt(start: number, prompt: string): TurnStart {
    const shared = commonPrefix(prompt, this.whole);
    const from = Math.max(0, Math.min(shared, start) - QUOTED / 2);
    const asked = prompt.slice(from, from + QUOTED);
    return { start, mismatch: { asked, trained: this.whole.slice(from, Math.min(start, from + QUOTED)) } };
  }
}

/** Characters that two texts begin with alike. */
function commonPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}
