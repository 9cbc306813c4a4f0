/** One example to token ids and labels. Which tokens are trained on is read from the rendered template. */
import { GraftError } from '../core/errors';
import { formatCount } from '../core/format';
import type { TeacherTokens } from '../core/teacher';
import type { ChatTemplate, Tokenizer } from '../core/text';
import { IGNORED, type Example } from './dataset';
import type { LabelledIds } from './example';
import type { Finding } from './findings';
import { findUnshown } from './shown';
import { findTrainedSpans, findTurnSpans, renderConversation, type AnswerFinding, type Rendering } from './spans';

export interface TokenizedExample {
  readonly row: number;
  readonly inputIds: readonly number[];
  /** As long as inputIds and not shifted (the loss shifts); -100 where not trained. */
  readonly labels: readonly number[];
  /** Of a pair, whose chosen answer is above: the rejected one. */
  readonly rejected?: LabelledIds;
  readonly referenceLogProbs?: readonly [number, number];
  readonly teacher?: TeacherTokens;
}

export interface TokenizeOptions {
  /** Undefined for a model without them; pre-tokenised rows need neither. */
  readonly tokenizer: Tokenizer | undefined;
  readonly template: ChatTemplate | undefined;
  /** The model's, which may be larger than the tokenizer's. */
  readonly vocabSize: number;
  readonly maxLength: number;
  /** What the model reads of a row at most, where that is known: no setting goes beyond it. */
  readonly mostLength?: number;
  /** False trains on prompts too. */
  readonly assistantOnlyLoss: boolean;
  /** Share of the dataset's rows that may be left out as unusable; any but all where absent. */
  readonly maxBadRows?: number;
}

/** Labels that count in the loss of one row, or of one side of a pair. */
export function trainedLabels({ labels }: Pick<LabelledIds, 'labels'>): number {
  let count = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i] !== IGNORED) count++;
  return count;
}

/** A tokenised example with what is to be known of it. */
export interface CheckedExample extends TokenizedExample {
  readonly findings: readonly Finding[];
}

/** One example, uncut. @throws `bad-data` beginning with where it is, for what makes this row unusable */
export function tokenizeExample(example: Example, options: TokenizeOptions): CheckedExample {
  if (example.kind === 'tokens') return checkTokens(example, options);
  if (example.kind === 'pair') return checkPair(example, options);
  if (example.kind === 'text') return tokenizeText(example, options);
  const { tokenizer, template } = options;
  if (!tokenizer || !template) throw withoutTokenizer();
  return tokenizeConversation(example, tokenizer, template, options);
}

type ConversationExample = Extract<Example, { kind: 'conversation' }>;

function tokenizeConversation(
  example: ConversationExample,
  tokenizer: Tokenizer,
  template: ChatTemplate,
  options: TokenizeOptions,
): CheckedExample {
  const { row, where } = example;
  const rendering = attempt(example, () => renderConversation(example.conversation, template));
  const unshown = findUnshown(rendering, template);
  const essential = unshown.filter((part) => part.essential).map(({ what }) => what);
  if (essential.length > 0) {
    throw new GraftError(
      'bad-data',
      `${where} has ${essential.join(' and ')}, which the chat template (${template.source}) doesn't show: ` +
        'take a model whose template does, or set chat_template_path.',
    );
  }
  const findings: Finding[] = unshown.map(({ what }) => ({ kind: 'unshown', what }));
  const { inputIds, labels, answers } = options.assistantOnlyLoss
    ? attempt(example, () => maskPrompts(example, rendering, tokenizer, template, options.maxLength))
    : trainWhole(example, rendering, tokenizer, template, options.maxLength);
  for (const { kind, asked = '', trained = '' } of answers) {
    findings.push(kind === 'context' ? { kind, asked, trained } : { kind });
  }
  checkVocabulary(where, inputIds, options.vocabSize);
  return { row, inputIds, labels, findings };
}

/** Token ids and labels of a conversation, with what is to be known of its answers. */
interface Labelled {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
  readonly answers: readonly AnswerFinding[];
}

function maskPrompts(
  { where, untrained }: ConversationExample,
  rendering: Rendering,
  tokenizer: Tokenizer,
  template: ChatTemplate,
  maxLength: number,
): Labelled {
  const { ids, spans, findings } = findTrainedSpans(where, rendering, untrained, tokenizer, template, maxLength);
  const labels = new Array<number>(ids.length).fill(IGNORED);
  for (const { start, end } of spans) {
    for (let i = start; i < end; i++) labels[i] = ids[i]!;
  }
  return { inputIds: ids, labels, answers: findings };
}

/** Prompts are trained too; what the template makes of answers is found all the same, but by its generation blocks. */
function trainWhole(
  { where, untrained, isMarked }: ConversationExample,
  rendering: Rendering,
  tokenizer: Tokenizer,
  template: ChatTemplate,
  maxLength: number,
): Labelled {
  if (isMarked) {
    throw new GraftError(
      'bad-data',
      `${where} says of an answer that it isn't trained (weight, train), but assistant_only_loss: false trains whole ` +
        'conversations: take it out, or set assistant_only_loss: true.',
    );
  }
  try {
    const { ids, findings } = findTurnSpans(where, rendering, untrained, tokenizer, template, maxLength);
    return { inputIds: ids, labels: ids, answers: findings };
  } catch (error) {
    if (!(error instanceof GraftError)) throw error;
    const ids = tokenizer.encode(rendering.text, { addSpecialTokens: false });
    return { inputIds: ids, labels: ids, answers: [] };
  }
}

/** A text for language modelling, with the tokenizer's own special tokens and an end: all of it is trained, as in TRL. */
function tokenizeText(
  { row, where, text }: Extract<Example, { kind: 'text' }>,
  { tokenizer, vocabSize }: TokenizeOptions,
): CheckedExample {
  if (!tokenizer) throw withoutTokenizer();
  const inputIds = tokenizer.encode(text, { addSpecialTokens: true });
  const { eosTokenId } = tokenizer;
  if (eosTokenId !== undefined && inputIds.at(-1) !== eosTokenId) inputIds.push(eosTokenId);
  checkVocabulary(where, inputIds, vocabSize);
  return { row, inputIds, labels: inputIds, findings: [] };
}

function checkVocabulary(where: string, ids: readonly number[], vocabSize: number): void {
  if (!ids.some((id) => id >= vocabSize)) return;
  throw new GraftError('bad-data', `${where} needs a token that the tokenizer has and the model lacks.`);
}

function withoutTokenizer(): GraftError {
  return new GraftError(
    'bad-data',
    'The model has no tokenizer.json, so it takes pre-tokenised rows (input_ids, labels) only.',
  );
}

/** What a template says of one row, with the row. */
function attempt<T>({ where, conversation }: ConversationExample, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof GraftError) || error.message.startsWith(where)) throw error;
    const empty = conversation.messages.findIndex(({ content }) => typeof content !== 'string');
    const hint = empty < 0 ? '' : ` Message ${empty + 1} has no text, which this template may need.`;
    throw new GraftError(error.code, `${where} can't be rendered: ${error.message}${hint}`, { cause: error });
  }
}

function checkTokens(example: Extract<Example, { kind: 'tokens' }>, { vocabSize }: TokenizeOptions): CheckedExample {
  const { row, where, inputIds, labels, teacher } = example;
  checkIds(where, { input_ids: inputIds, labels, teacher_ids: teacher?.ids ?? [] }, vocabSize);
  return { row, inputIds, labels, ...(teacher && { teacher }), findings: [] };
}

/** Refuses ids, by the field that they are in, which the model hasn't. */
function checkIds(where: string, fields: Readonly<Record<string, ArrayLike<number>>>, vocabSize: number): void {
  for (const [name, ids] of Object.entries(fields)) {
    let largest = 0;
    for (let i = 0; i < ids.length; i++) largest = Math.max(largest, ids[i]!);
    if (largest < vocabSize) continue;
    throw new GraftError(
      'bad-data',
      `${where} holds the token id ${largest} in ${name}, but the model has ${formatCount(vocabSize)} tokens only.`,
    );
  }
}

function checkPair(example: Extract<Example, { kind: 'pair' }>, { vocabSize }: TokenizeOptions): CheckedExample {
  const { row, where, chosen, rejected, referenceLogProbs } = example;
  const fields = {
    ...{ chosen_input_ids: chosen.inputIds, chosen_labels: chosen.labels },
    ...{ rejected_input_ids: rejected.inputIds, rejected_labels: rejected.labels },
  };
  checkIds(where, fields, vocabSize);
  return { row, ...chosen, rejected, ...(referenceLogProbs && { referenceLogProbs }), findings: [] };
}
