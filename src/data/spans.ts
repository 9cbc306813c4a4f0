/** Which tokens of a rendered conversation are trained: as its template says, or read from its renderings. */
import { GraftError } from '../core/errors';
import {
  contentOf,
  type ChatTemplate,
  type Conversation,
  type TextSpan,
  type TokenPosition,
  type Tokenizer,
} from '../core/text';
import { holdsContent, locateContents, type ContentPlace } from './contents';
import { TurnStarts } from './turn-starts';

/** Positions among the tokens of a conversation, `end` exclusive. */
export interface TokenSpan {
  readonly start: number;
  readonly end: number;
}

/** What the user should know of one answer before it is trained. */
export interface AnswerFinding {
  /** `cut`: not all of the answer is trained. `context`: it is trained after other text than it will be asked after. */
  readonly kind: 'cut' | 'context';
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
 * ones. A template that marks what is generated decides where they lie. Takes time linear in the conversation.
 * @throws `bad-data` where the template marks nothing, or renders an answer so that it can't be told from its prompt.
 */
export function findTrainedSpans(
  where: string,
  rendering: Rendering,
  untrained: readonly number[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
): TrainedSpans {
  const marked = template.generationSpans?.(rendering.conversation);
  return marked
    ? markedSpans(where, rendering, marked, untrained, tokenizer, template)
    : turnSpans(where, rendering, untrained, tokenizer, template);
}

/** The tokens that hold any of the marked text, as Transformers' `return_assistant_tokens_mask` gives them. */
function markedSpans(
  where: string,
  rendering: Rendering,
  marked: readonly TextSpan[],
  untrained: readonly number[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
): TrainedSpans {
  const { text, contents } = rendering;
  const filled = marked.filter(({ start, end }) => end > start);
  if (filled.length === 0) {
    throw new GraftError(
      'bad-data',
      `${where} has nothing in the generation blocks of the chat template (${template.source}): set assistant_only_loss: false ` +
        'to train on whole conversations.',
    );
  }
  const isContext = (span: TextSpan) =>
    untrained.some((i) => {
      const at = contents[i]?.start ?? contents[i]?.end;
      return at !== undefined && at >= span.start && at <= span.end;
    });
  const trained = filled.filter((span) => !isContext(span));
  const { ids, at } = locateAll(
    tokenizer,
    text,
    trained.flatMap(({ start, end }) => [start, end]),
  );
  // Where a token straddles an end of the span, it is in the span.
  const spans = trained.map(({ start, end }) => ({ start: at(start).before, end: wholeEnd(at(end)) }));
  return { ids, spans, findings: markedFindings(rendering, filled, untrained, template) };
}

/** Findings of answers that a template marks itself: it decides what is trained, and may still be wrong for a row. */
function markedFindings(
  { conversation, text, contents }: Rendering,
  marked: readonly TextSpan[],
  untrained: readonly number[],
  template: ChatTemplate,
): AnswerFinding[] {
  const findings: AnswerFinding[] = [];
  const starts = new TurnStarts(conversation, text, contents, template);
  const all = marked.map(({ start, end }) => text.slice(start, end)).join('\n');
  for (const message of answersOf(conversation, untrained)) {
    const content = contentOf(conversation.messages[message]).trim();
    const { start: from = -1, end = -1 } = contents[message] ?? {};
    const isWhole = text.slice(from, end) === content && marked.some((span) => span.start <= from && span.end >= end);
    if (content !== '' && !isWhole && !holdsContent(all, content)) findings.push({ kind: 'cut', message });
    const start = starts.find(message);
    if (start?.mismatch) findings.push({ kind: 'context', message, ...start.mismatch });
  }
  return findings;
}

function answersOf({ messages }: Conversation, untrained: readonly number[]): number[] {
  return messages.flatMap(({ role }, i) => (role === 'assistant' && !untrained.includes(i) ? [i] : []));
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
function turnSpans(
  where: string,
  rendering: Rendering,
  untrained: readonly number[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
): TrainedSpans {
  const { conversation, text, contents } = rendering;
  const { messages } = conversation;
  const starts = new TurnStarts(conversation, text, contents, template);
  const findings: AnswerFinding[] = [];
  const turns = answersOf(conversation, untrained).map((message): Turn => {
    const found = starts.find(message);
    if (!found) throw unstable(where, message, template);
    if (found.mismatch) findings.push({ kind: 'context', message, ...found.mismatch });
    const horizon = contents.slice(message + 1).find(({ start }) => start !== undefined)?.start ?? text.length;
    const contentEnd = contents[message]?.end;
    const content = contentOf(messages[message]);
    if (content.trim() !== '' && !holdsContent(text.slice(found.start, Math.max(horizon, contentEnd ?? 0)), content)) {
      findings.push({ kind: 'cut', message });
    }
    return { message, start: found.start, contentEnd, horizon };
  });
  const offsets = turns.flatMap(({ start, contentEnd, horizon }) => [start, contentEnd ?? start, horizon]);
  const { ids, at } = locateAll(tokenizer, text, offsets);
  const stops = new Set(tokenizer.stopTokenIds);
  const ends = turns.map((turn) => endOfTurn(turn, ids, at, stops, tokenizer, contentOf(messages[turn.message])));
  const open = turns.filter((_, i) => ends[i] === undefined).map(({ message }) => starts.findEnd(message));
  const openEnds = open.length > 0 ? locateAll(tokenizer, text, open).at : at;
  const spans = turns.map(({ message, start }, i) => {
    // Where a token straddles prompt and answer, it is the answer's first.
    const span = { start: at(start).before, end: ends[i] ?? openEnds(starts.findEnd(message)).before };
    if (span.end <= span.start) throw unstable(where, message, template);
    return span;
  });
  return { ids, spans, findings };
}

/** Position after the end-of-turn token, or undefined where there is none before the next message. */
function endOfTurn(
  { start, contentEnd, horizon }: Turn,
  ids: readonly number[],
  at: (offset: number) => TokenPosition,
  stops: ReadonlySet<number>,
  tokenizer: Tokenizer,
  content: string,
): number | undefined {
  const isKnown = contentEnd !== undefined && contentEnd >= start;
  const from = isKnown ? wholeEnd(at(contentEnd)) : at(start).before;
  // Where the end of the content isn't known, the content's own tokens may spell the end of a turn.
  const spelt = isKnown ? [] : tokenizer.encode(content, { addSpecialTokens: false }).filter((id) => stops.has(id));
  const last = horizon >= (contentEnd ?? start) ? at(horizon).before : ids.length;
  let left = spelt.length + 1;
  for (let i = from; i < last; i++) {
    if (stops.has(ids[i]!) && --left === 0) return i + 1;
  }
  return undefined;
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
      'told from its prompt. Set assistant_only_loss: false to train on whole conversations.',
  );
}
