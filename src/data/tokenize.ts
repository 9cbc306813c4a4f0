/** Examples to token ids and labels. Which tokens are trained on is read from the rendered template. */
import { GraftError } from '../core/errors';
import { formatCount } from '../core/format';
import type { ChatTemplate, Tokenizer } from '../core/text';
import { assistantSpans } from './spans';
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
  if (example.kind === 'text') return tokenizeText(example, options);
  const { tokenizer, template } = options;
  if (!tokenizer || !template) {
    throw new GraftError(
      'bad-data',
      `The model has no tokenizer.json, so it takes pre-tokenised rows (input_ids, labels) only.`,
    );
  }
  // Text from a template has its special tokens already.
  const inputIds = tokenizer.encode(template.render(example.conversation, { addGenerationPrompt: false }), {
    addSpecialTokens: false,
  });
  if (inputIds.some((id) => id >= options.vocabSize)) {
    throw new GraftError('bad-data', `${example.where} needs a token that the tokenizer has and the model lacks.`);
  }
  if (!options.assistantOnlyLoss) return { row: example.row, inputIds, labels: inputIds };
  const trained = assistantSpans(example.where, example.conversation, tokenizer, template);
  const labels = inputIds.map((id, i) => (trained.some(({ start, end }) => i >= start && i < end) ? id : IGNORED));
  return { row: example.row, inputIds, labels };
}

/** A text for language modelling, with the tokenizer's own special tokens and an end: all of it is trained, as in TRL. */
function tokenizeText(
  example: Example & { kind: 'text' },
  { tokenizer, vocabSize }: TokenizeOptions,
): TokenizedExample {
  if (!tokenizer) {
    throw new GraftError(
      'bad-data',
      `The model has no tokenizer.json, so it takes pre-tokenised rows (input_ids, labels) only.`,
    );
  }
  const inputIds = tokenizer.encode(example.text, { addSpecialTokens: true });
  const { eosTokenId } = tokenizer;
  if (eosTokenId !== undefined && inputIds.at(-1) !== eosTokenId) inputIds.push(eosTokenId);
  if (inputIds.some((id) => id >= vocabSize)) {
    throw new GraftError('bad-data', `${example.where} needs a token that the tokenizer has and the model lacks.`);
  }
  return { row: example.row, inputIds, labels: inputIds };
}
