/** Which tokens of a rendered conversation are the assistant's: as its template says, or read from its renderings. */
import { GraftError } from '../core/errors';
import { contentOf, type ChatTemplate, type Conversation, type TextSpan, type Tokenizer } from '../core/text';

/** Text from a template has its special tokens already. */
function encode(tokenizer: Tokenizer, text: string): number[] {
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** Positions among the tokens of a conversation, `end` exclusive. */
export interface TokenSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * What is trained of a conversation. A template that marks what is generated decides; of any other, each answer with
 * its end-of-turn token is.
 * @throws `bad-data` where the template marks nothing, or renders the start of a conversation differently once it goes on.
 */
export function assistantSpans(
  where: string,
  conversation: Conversation,
  tokenizer: Tokenizer,
  template: ChatTemplate,
): TokenSpan[] {
  const marked = template.generationSpans?.(conversation);
  if (!marked) return turnSpans(where, conversation, tokenizer, template);
  const spans = markedSpans(template.render(conversation, { addGenerationPrompt: false }), marked, tokenizer);
  if (spans.length > 0) return spans;
  throw new GraftError(
    'bad-data',
    `${where}: the generation blocks of the chat template (${template.source}) are empty for this conversation. ` +
      'Set assistant_only_loss: false to train on whole conversations.',
  );
}

/** The tokens that hold any of the marked text, as Transformers' `return_assistant_tokens_mask` gives them. */
function markedSpans(whole: string, marked: readonly TextSpan[], tokenizer: Tokenizer): TokenSpan[] {
  const ids = encode(tokenizer, whole);
  return marked
    .filter(({ start, end }) => end > start)
    .map(({ start, end }) => {
      const before = encode(tokenizer, whole.slice(0, end));
      const agreed = commonPrefix(before, ids);
      // Where a token straddles an end of the span, it is in the span.
      return {
        start: commonPrefix(encode(tokenizer, whole.slice(0, start)), ids),
        end: agreed < before.length ? agreed + 1 : agreed,
      };
    });
}

/**
 * Where each assistant turn lies among the tokens of the whole conversation.
 *
 * A turn starts where the prompt of everything before it ends: that prompt is rendered by itself, with the generation
 * prompt, exactly as it will be when the model is asked, and must be how the whole begins. A turn ends with its
 * end-of-turn token, the first after as many as its own text may spell; for a template that closes no turn, where the
 * next one begins.
 */
function turnSpans(
  where: string,
  conversation: Conversation,
  tokenizer: Tokenizer,
  template: ChatTemplate,
): TokenSpan[] {
  const { messages } = conversation;
  const render = (count: number, addGenerationPrompt: boolean) =>
    template.render({ ...conversation, messages: messages.slice(0, count) }, { addGenerationPrompt });
  const whole = render(messages.length, false);
  const ids = encode(tokenizer, whole);
  const stops = new Set(tokenizer.stopTokenIds);
  const spans: TokenSpan[] = [];
  messages.forEach((message, turn) => {
    if (message.role !== 'assistant') return;
    const content = contentOf(message);
    const prompt = whole.slice(0, promptLength(where, whole, render(turn, true), conversation, turn, template));
    // Where a token straddles prompt and answer, it is the answer's first.
    const start = commonPrefix(encode(tokenizer, prompt), ids);
    const spelt = encode(tokenizer, content).filter((id) => stops.has(id)).length;
    const next = messages[turn + 1];
    const horizon = next
      ? nextMessageStart(whole, ids, prompt.length, content, contentOf(next), tokenizer)
      : ids.length;
    const end =
      endOfTurn(ids.slice(0, horizon), start, spelt, stops) ??
      (next ? commonPrefix(encode(tokenizer, render(turn + 1, false)), ids) : ids.length);
    if (end <= start) throw unstable(where, turn, template);
    spans.push({ start, end });
  });
  return spans;
}

/** Token position before which the text of the next message can't begin. */
function nextMessageStart(
  whole: string,
  ids: readonly number[],
  promptEnd: number,
  content: string,
  next: string,
  tokenizer: Tokenizer,
): number {
  const answer = whole.indexOf(content.trim(), promptEnd);
  const start = answer < 0 ? -1 : whole.indexOf(next.trim(), answer + content.trim().length);
  return start < 0 ? ids.length : commonPrefix(encode(tokenizer, whole.slice(0, start)), ids);
}

/** Position after the end-of-turn token, or undefined where there is none. */
function endOfTurn(
  ids: readonly number[],
  start: number,
  spelt: number,
  stops: ReadonlySet<number>,
): number | undefined {
  let left = spelt + 1;
  for (let i = start; i < ids.length; i++) {
    if (stops.has(ids[i]!) && --left === 0) return i + 1;
  }
  return undefined;
}

/**
 * Characters of the whole that are the prompt of a turn. Usually the rendered prompt is how the whole begins. Some
 * templates open an answer with more when they ask for one (an empty block of thought) than when they show one: then
 * what both share is the prompt, as long as it holds the message before and the answer follows it. Others move the
 * system message to the last question (Mistral): then it is enough that the message before and what follows it stand
 * right before the answer.
 */
function promptLength(
  where: string,
  whole: string,
  prompt: string,
  conversation: Conversation,
  turn: number,
  template: ChatTemplate,
): number {
  if (whole.startsWith(prompt)) return prompt.length;
  const shared = commonPrefix(prompt, whole);
  const { messages } = conversation;
  const before = contentOf(messages[turn - 1]).trim();
  const beforeEnds = before === '' ? 0 : whole.lastIndexOf(before, shared) + before.length;
  const answer = contentOf(messages[turn]).trim();
  if (beforeEnds <= shared && beforeEnds >= before.length && whole.indexOf(answer, shared) >= 0) return shared;

  const probed = messages.map((message, i) => (i === turn ? { ...message, content: PROBE } : message));
  const lead = template.render({ ...conversation, messages: probed }, { addGenerationPrompt: false }).split(PROBE)[0]!;
  const asked = prompt.lastIndexOf(before);
  if (before !== '' && asked >= 0 && whole.startsWith(lead) && lead.endsWith(prompt.slice(asked))) return lead.length;
  throw unstable(where, turn, template);
}

/** An answer that no conversation has. */
const PROBE = '\ufdd0';

function unstable(where: string, turn: number, template: ChatTemplate): GraftError {
  return new GraftError(
    'bad-data',
    `${where}: the chat template (${template.source}) renders message ${turn + 1} so that its answer can't be told from ` +
      'its prompt. Set assistant_only_loss: false to train on whole conversations.',
  );
}

function commonPrefix(a: ArrayLike<unknown>, b: ArrayLike<unknown>): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
