/** Which tokens of a rendered conversation are trained: as its template says, or read from its renderings. */
import { GraftError } from '../core/errors';
import {
  contentOf,
  type ChatTemplate,
  type Conversation,
  type Message,
  type TextSpan,
  type TokenPosition,
  type Tokenizer,
} from '../core/text';
import { holdsContent, locateContents, withoutSpace, type ContentPlace } from './contents';
import { TurnStarts } from './turn-starts';

/** Positions among the tokens of a conversation, `end` exclusive. */
export interface TokenSpan {
  readonly start: number;
  readonly end: number;
}

/** Messages from which on it pays to ask where the row will be cut. */
const LONG = 16;

/** What the user should know of one answer before it is trained. */
export interface AnswerFinding {
  /**
   * `cut`: not all of the answer is trained. `context`: it is trained after other text than it will be asked after.
   * `open`: no token is trained after it that ends the turn.
   */
  readonly kind: 'cut' | 'context' | 'open';
  /** Place of the message. */
  readonly message: number;
  /** Of `context`: how the text before the answer ends, as it is asked and as it is trained. */
  readonly asked?: string;
  readonly trained?: string;
}

export interface TrainedSpans {
  readonly ids: number[];
  readonly spans: TokenSpan[];
  readonly findings: AnswerFinding[];
}

/** A conversation as its template renders it, with where its contents lie. */
export interface Rendering {
  readonly conversation: Conversation;
  readonly text: string;
  readonly contents: readonly ContentPlace[];
}

/** Renders a conversation as it is trained. Throws as the template does. */
export function renderConversation(conversation: Conversation, template: ChatTemplate): Rendering {
  const text = template.render(conversation, { addGenerationPrompt: false });
  return { conversation, text, contents: locateContents(conversation, template, text) };
}

/**
 * What is trained of a conversation: each answer of the assistant with its end-of-turn token, but for the `untrained`
 * ones. A template that marks what is generated decides where they lie. Takes time linear in the conversation, and
 * doesn't look for answers that begin after `maxLength` tokens.
 * @throws `bad-data` where the template marks nothing, or renders an answer so that it can't be told from its prompt.
 */
export function findTrainedSpans(
  where: string,
  rendering: Rendering,
  untrained: readonly number[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
  maxLength = Infinity,
): TrainedSpans {
  const marked = template.generationSpans?.(rendering.conversation);
  return marked
    ? findMarkedSpans(where, rendering, marked, untrained, tokenizer, template)
    : findTurnSpans(where, rendering, untrained, tokenizer, template, maxLength);
}

/** The tokens that hold any of the marked text, as Transformers' `return_assistant_tokens_mask` gives them. */
function findMarkedSpans(
  where: string,
  rendering: Rendering,
  marked: readonly TextSpan[],
  untrained: readonly number[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
): TrainedSpans {
  const { conversation, text, contents } = rendering;
  const filled = marked.filter(({ start, end }) => end > start);
  if (filled.length === 0) {
    throw new GraftError(
      'bad-data',
      `${where} has nothing in the generation blocks of the chat template (${template.source}): set chat_template_path to a ` +
        'template that marks its answers.',
    );
  }
  const starts = new TurnStarts(conversation, text, contents, template);
  const turns = answersOf(conversation).flatMap((message) => {
    const found = starts.find(message);
    return found ? [{ message, ...found }] : [];
  });
  // A span belongs to the last answer that starts before its end.
  const ownerOf = (span: TextSpan) => turns.findLast(({ start }) => start < span.end)?.message;
  const owned = filled.map((span) => ({ ...span, message: ownerOf(span) }));
  const trained = owned.filter(({ message }) => message === undefined || !untrained.includes(message));
  const ends = turns.flatMap(({ message }) => contents[message]?.end ?? []);
  const { ids, at } = locateAll(tokenizer, text, trained.flatMap(({ start, end }) => [start, end]).concat(ends));
  // Where a token straddles an end of the span, it is in the span.
  const spans = trained.map(({ start, end }) => ({ start: at(start).before, end: wholeEnd(at(end)) }));
  const stops = new Set(tokenizer.stopTokenIds);
  const hidden = answersOf(conversation).filter(
    (i) => !untrained.includes(i) && !turns.some(({ message }) => message === i),
  );
  const findings = turns.flatMap(({ message, mismatch }): AnswerFinding[] => {
    if (untrained.includes(message)) return [];
    const own = trained.flatMap((span, i) => (span.message === message ? [{ ...span, tokens: spans[i]! }] : []));
    const contentEnd = contents[message]?.end;
    const from = contentEnd === undefined ? 0 : wholeEnd(at(contentEnd));
    const isEnded = own.some(({ tokens }) =>
      ids.slice(Math.max(tokens.start, from), tokens.end).some((id) => stops.has(id)),
    );
    const isWhole = own.some((span) => holdsAnswer(rendering, message, span.start, span.end));
    const isCut =
      !isWhole &&
      !holdsContent(
        own.map((span) => text.slice(span.start, span.end)).join(''),
        contentOf(conversation.messages[message]),
      );
    return [
      ...(isCut ? [{ kind: 'cut' as const, message }] : []),
      ...(mismatch ? [{ kind: 'context' as const, message, ...mismatch }] : []),
      ...(isEnded || isCut ? [] : [{ kind: 'open' as const, message }]),
    ];
  });
  return { ids, spans, findings: [...findings, ...hidden.map((message) => ({ kind: 'cut' as const, message }))] };
}

function answersOf({ messages }: Conversation): number[] {
  return messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []));
}

/** Whether a stretch of the text holds all of an answer, white space aside. */
function holdsAnswer(
  { conversation, text, contents }: Rendering,
  message: number,
  start: number,
  end: number,
): boolean {
  const content = contentOf(conversation.messages[message]).trim();
  const { start: from, end: to } = contents[message] ?? {};
  if (content === '') return true;
  if (to === undefined || to > end || (from ?? 0) > to) return holdsContent(text.slice(start, end), content);
  const shown = text.slice(from ?? start, to);
  return shown === content || withoutSpace(shown).endsWith(withoutSpace(content));
}

/** One answer in the rendered text. */
interface Turn {
  readonly message: number;
  /** Where the prompt ends: what follows is the model's to write. */
  readonly start: number;
  /** Where the answer's content ends, as far as it is known. */
  readonly contentEnd: number | undefined;
  /** Where the next message's content begins. */
  readonly horizon: number;
}

/**
 * Where each assistant turn lies among the tokens of the whole conversation.
 *
 * A turn starts where the prompt of everything before it ends: that prompt is rendered by itself, with the generation
 * prompt, exactly as it will be when the model is asked, and must be how the whole begins. A turn ends with its
 * end-of-turn token, the first after its content; for a template that closes no turn, where the next one begins.
 */
export function findTurnSpans(
  where: string,
  rendering: Rendering,
  untrained: readonly number[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
  maxLength = Infinity,
): TrainedSpans {
  const { conversation, text, contents } = rendering;
  const { messages } = conversation;
  const starts = new TurnStarts(conversation, text, contents, template);
  const findings: AnswerFinding[] = [];
  const limit = findLimit(rendering, tokenizer, maxLength);
  const trained = answersOf(conversation).filter((message) => message < limit && !untrained.includes(message));
  const turns = trained.flatMap((message): Turn[] => {
    const found = starts.find(message);
    if (!found) {
      if (!isHidden(rendering, message)) throw unstable(where, message, template);
      findings.push({ kind: 'cut', message });
      return [];
    }
    const { start, mismatch } = found;
    if (mismatch) findings.push({ kind: 'context', message, ...mismatch });
    const contentEnd = contents[message]?.end;
    const horizon = findHorizon(rendering, message, Math.max(start, contentEnd ?? 0));
    // Where the answer follows all that the prompt has given, what the prompt gave of it counts: `<think>`.
    const given = mismatch ? start : (contents[message - 1]?.end ?? (message === 0 ? 0 : start));
    if (!holdsAnswer(rendering, message, given, horizon)) findings.push({ kind: 'cut', message });
    return [{ message, start, contentEnd, horizon }];
  });
  if (turns.length === 0 && trained.length > 0) throw unstable(where, trained[0]!, template);
  const offsets = turns.flatMap(({ start, contentEnd, horizon }) => [start, contentEnd ?? start, horizon]);
  const { ids, at } = locateAll(tokenizer, text, offsets);
  const stops = new Set(tokenizer.stopTokenIds);
  const tails = new Map<string, readonly number[]>();
  const spans = turns.map((turn) => {
    const { message } = turn;
    // Where a token straddles prompt and answer, it is the answer's first.
    const { before: start, straddled } = at(turn.start);
    if (straddled && !findings.some((finding) => finding.kind === 'context' && finding.message === message)) {
      findings.push({
        kind: 'context',
        message,
        ...straddledContext(text, turn.start, ids.slice(0, start), tokenizer),
      });
    }
    let end = findEndOfTurn(turn, ids, at, stops, tokenizer, messages[message]!);
    if (end === undefined) {
      findings.push({ kind: 'open', message });
      end = findOpenEnd(turn, rendering, ids, at, tokenizer, starts, tails);
    }
    if (end <= start) throw unstable(where, message, template);
    return { start, end };
  });
  return { ids, spans, findings };
}

/** Characters of a context that a message quotes. */
const QUOTED = 20;

/** How the context of an answer ends whose first token begins within the prompt: asked, the prompt has tokens of its own there. */
function straddledContext(text: string, start: number, before: readonly number[], tokenizer: Tokenizer) {
  const trained = tokenizer.decode(before.slice(-QUOTED), { skipSpecialTokens: false });
  return { asked: text.slice(Math.max(0, start - QUOTED), start), trained: trained.slice(-QUOTED) };
}

/** The first message whose content begins after so many tokens; looked for in long conversations only. */
function findLimit({ text, contents }: Rendering, tokenizer: Tokenizer, maxLength: number): number {
  if (contents.length < LONG || text.length < maxLength) return contents.length;
  const places = contents.flatMap(({ start }, message) => (start === undefined ? [] : [{ message, start }]));
  const { at } = locateAll(
    tokenizer,
    text,
    places.map(({ start }) => start),
  );
  const beyond = places.findLastIndex(({ start }) => at(start).before < maxLength) + 1;
  return places[beyond]?.message ?? contents.length;
}

/** Whether the template shows nothing of what a message says. */
function isHidden({ conversation, contents }: Rendering, message: number): boolean {
  return contents[message]?.end === undefined && contentOf(conversation.messages[message]).trim() !== '';
}

/** Where the next content after the message's own begins, from a place on. */
function findHorizon({ text, contents }: Rendering, message: number, from: number): number {
  for (let i = message + 1; i < contents.length; i++) {
    const { start } = contents[i]!;
    if (start !== undefined && start >= from) return start;
  }
  return text.length;
}

/** Position after the end-of-turn token, or undefined where there is none before the next message. */
function findEndOfTurn(
  { start, contentEnd, horizon }: Turn,
  ids: readonly number[],
  at: (offset: number) => TokenPosition,
  stops: ReadonlySet<number>,
  tokenizer: Tokenizer,
  message: Message,
): number | undefined {
  const isKnown = contentEnd !== undefined && contentEnd >= start;
  const from = isKnown ? wholeEnd(at(contentEnd)) : at(start).before;
  const last = at(horizon).before;
  const found: number[] = [];
  for (let i = from; i < last; i++) if (stops.has(ids[i]!)) found.push(i + 1);
  if (found.length < 2) return found[0];
  // What the message itself says after that place may spell the end of a turn.
  const spelt = [
    ...(isKnown ? [] : [message.content ?? '', textOf(message['reasoning_content'])]),
    textOf(message['tool_calls']),
  ].flatMap((text) => tokenizer.encode(text, { addSpecialTokens: false }).filter((id) => stops.has(id)));
  return found[Math.min(spelt.length, found.length - 1)];
}

function textOf(field: unknown): string {
  return typeof field === 'string' ? field : field == null ? '' : JSON.stringify(field);
}

/** Position after a turn that no token ends: where the whole goes on without it. */
function findOpenEnd(
  { message, contentEnd, start }: Turn,
  { conversation }: Rendering,
  ids: readonly number[],
  at: (offset: number) => TokenPosition,
  tokenizer: Tokenizer,
  starts: TurnStarts,
  tails: Map<string, readonly number[]>,
): number {
  const next = conversation.messages[message + 1];
  if (!next) return ids.length;
  const content = wholeEnd(at(contentEnd ?? start));
  const upTo = starts.renderUpTo(message);
  if (upTo === undefined) {
    // Earlier turns before the same role have shown what follows an answer.
    const tail = tails.get(next.role) ?? [];
    return tail.every((id, i) => ids[content + i] === id) ? content + tail.length : content;
  }
  const alone = tokenizer.encode(upTo, { addSpecialTokens: false });
  let end = 0;
  while (end < alone.length && alone[end] === ids[end]) end++;
  // A template may show an answer in another way where it is the last.
  if (end <= at(start).before || end < at(contentEnd ?? start).before) return content;
  tails.set(next.role, ids.slice(content, end));
  return end;
}

/** Tokens up to the place, the one that straddles it included. */
function wholeEnd({ before, straddled }: TokenPosition): number {
  return straddled ? before + 1 : before;
}

/** Encodes a text and finds places in it, given in any order. */
function locateAll(
  tokenizer: Tokenizer,
  text: string,
  offsets: readonly number[],
): { ids: number[]; at: (offset: number) => TokenPosition } {
  const ascending = [...new Set(offsets)].sort((a, b) => a - b);
  const { ids, positions } = tokenizer.locate(text, ascending);
  const found = new Map(ascending.map((offset, i) => [offset, positions[i]!]));
  return { ids, at: (offset) => found.get(offset)! };
}

function unstable(where: string, message: number, template: ChatTemplate): GraftError {
  return new GraftError(
    'bad-data',
    `${where} can't be masked: the chat template (${template.source}) renders message ${message + 1} so that its answer can't be ` +
      'told from its prompt. Set chat_template_path to a template that shows each answer after its question.',
  );
}
