/** Examples to token ids and labels. Which tokens are trained on is read from the rendered template. */
import { GraftError } from '../core/errors';
import { formatCount } from '../core/format';
import type { ChatTemplate, Message, Tokenizer } from '../core/text';
import { IGNORED, type Dataset, type Example } from './dataset';

export interface TokenizedExample {
  readonly row: number;
  readonly inputIds: readonly number[];
  /** As long as inputIds and not shifted (the loss shifts); -100 where not trained. */
  readonly labels: readonly number[];
}

export interface TokenizeOptions {
  /** Undefined for a model without them; pre-tokenised rows need neither. */
  readonly tokenizer: Tokenizer | undefined;
  readonly template: ChatTemplate | undefined;
  /** The model's, which may be larger than the tokenizer's. */
  readonly vocabSize: number;
  readonly maxLength: number;
  /** False trains on prompts too. */
  readonly assistantOnlyLoss: boolean;
}

export interface TokenizedDataset {
  readonly examples: readonly TokenizedExample[];
  /** Rows that were cut to maxLength. */
  readonly truncated: number;
  /** Rows left out, because nothing to train on was left of them after the cut. */
  readonly skipped: number;
  /** Labels that count in the loss; the first of a row never does, for nothing comes before it. */
  readonly trainedTokens: number;
  readonly totalTokens: number;
  /** Tokens of the longest row, before any cut. */
  readonly longest: number;
}

/** @throws `bad-data` where a row can't be used or nothing at all would be trained on, `bad-config` from the template. */
export function tokenizeDataset(dataset: Dataset, options: TokenizeOptions): TokenizedDataset {
  const whole = dataset.examples.map((example) => tokenizeExample(example, options));
  const cut = whole.map(({ row, inputIds, labels }) => ({
    row,
    inputIds: inputIds.slice(0, options.maxLength),
    labels: labels.slice(0, options.maxLength),
  }));
  const examples = cut.filter((example) => trainedLabels(example) > 0);
  if (examples.length === 0) {
    throw new GraftError(
      'bad-data',
      `Nothing in ${dataset.name} would be trained on: every response lies beyond max_length ${options.maxLength}. Raise max_length.`,
    );
  }
  return {
    examples,
    truncated: whole.filter(({ inputIds }) => inputIds.length > options.maxLength).length,
    skipped: cut.length - examples.length,
    trainedTokens: examples.reduce((sum, example) => sum + trainedLabels(example), 0),
    totalTokens: examples.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
    longest: whole.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0),
  };
}

/** Labels that count in the loss of one row. */
export function trainedLabels(example: TokenizedExample): number {
  return example.labels.reduce((count, label, i) => count + (i > 0 && label !== IGNORED ? 1 : 0), 0);
}

/** One example, uncut. */
export function tokenizeExample(example: Example, options: TokenizeOptions): TokenizedExample {
  if (example.kind === 'tokens') {
    const { row, where, inputIds, labels } = example;
    const largest = [...inputIds, ...labels].reduce((most, id) => Math.max(most, id), 0);
    if (largest >= options.vocabSize) {
      throw new GraftError(
        'bad-data',
        `${where} holds the token id ${largest}, but the model has ${formatCount(options.vocabSize)} tokens only.`,
      );
    }
    return { row, inputIds, labels };
  }
  const { tokenizer, template } = options;
  if (!tokenizer || !template) {
    throw new GraftError(
      'bad-data',
      `The model has no tokenizer.json, so it takes pre-tokenised rows (input_ids, labels) only.`,
    );
  }
  const inputIds = encode(tokenizer, template.render(example.messages, { addGenerationPrompt: false }));
  if (inputIds.some((id) => id >= options.vocabSize)) {
    throw new GraftError('bad-data', `${example.where} needs a token that the tokenizer has and the model lacks.`);
  }
  if (!options.assistantOnlyLoss) return { row: example.row, inputIds, labels: inputIds };
  const trained = assistantSpans(example.where, example.messages, tokenizer, template);
  const labels = inputIds.map((id, i) => (trained.some(({ start, end }) => i >= start && i < end) ? id : IGNORED));
  return { row: example.row, inputIds, labels };
}

/** Text from a template has its special tokens already. */
function encode(tokenizer: Tokenizer, text: string): number[] {
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** Positions of a turn's content and its end-of-turn token, `end` exclusive. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Where each assistant turn lies among the tokens of the whole conversation.
 *
 * A turn starts where the prompt of everything before it ends: that prompt is rendered by itself, with the generation
 * prompt, exactly as it will be when the model is asked, and must be how the whole begins. A turn ends with its
 * end-of-turn token, the first after as many as its own text may spell; for a template that closes no turn, where the
 * next one begins.
 *
 * @throws `bad-data` where the template renders the start of a conversation differently once it goes on.
 */
export function assistantSpans(
  where: string,
  messages: readonly Message[],
  tokenizer: Tokenizer,
  template: ChatTemplate,
): Span[] {
  const render = (count: number, addGenerationPrompt: boolean) =>
    template.render(messages.slice(0, count), { addGenerationPrompt });
  const whole = render(messages.length, false);
  const ids = encode(tokenizer, whole);
  const stops = new Set(tokenizer.stopTokenIds);
  const spans: Span[] = [];
  messages.forEach(({ role, content }, turn) => {
    if (role !== 'assistant') return;
    const prompt = whole.slice(0, promptLength(where, whole, render(turn, true), messages, turn, template));
    // Where a token straddles prompt and answer, it is the answer's first.
    const start = commonPrefix(encode(tokenizer, prompt), ids);
    const spelt = encode(tokenizer, content).filter((id) => stops.has(id)).length;
    const next = messages[turn + 1];
    const horizon = next ? nextMessageStart(whole, ids, prompt.length, content, next.content, tokenizer) : ids.length;
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
 * what both share is the prompt, as long as it holds the message before and the answer follows it.
 */
function promptLength(
  where: string,
  whole: string,
  prompt: string,
  messages: readonly Message[],
  turn: number,
  template: ChatTemplate,
): number {
  if (whole.startsWith(prompt)) return prompt.length;
  const shared = commonPrefix(prompt, whole);
  const before = messages[turn - 1]?.content.trim() ?? '';
  const beforeEnds = before === '' ? 0 : whole.lastIndexOf(before, shared) + before.length;
  const answer = messages[turn]!.content.trim();
  if (beforeEnds > shared || beforeEnds < before.length || whole.indexOf(answer, shared) < 0)
    throw unstable(where, turn, template);
  return shared;
}

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
