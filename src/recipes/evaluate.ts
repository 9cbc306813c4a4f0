/** How well a model answers the questions of a dataset, without its adapter and with it: greedy. */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { plural } from '../core/format';
import { encodeUtf8 } from '../core/store';
import { contentOf, type Conversation } from '../core/text';
import { parseDataset } from '../data/dataset';
import { readBeginning } from '../data/reading/beginning';
import { exactMatch, tokenF1 } from '../eval/exact';
import type { HubModel } from '../formats/model';
import { effectiveMaxLength, type DatasetFile } from './steps/data';
import { promptIds, type Prompt } from './steps/prompt-ids';
import type { TextGenerator } from './steps/text-generator';

/** A question of a dataset. */
export interface Question {
  /** The conversation up to the answer that is asked for. */
  readonly prompt: Prompt;
  /** The last user turn. */
  readonly question: string;
  /** The last assistant turn. */
  readonly expected: string;
  /** Its row was held out of training: what is answered was never seen. */
  readonly heldOut: boolean;
}

export interface EvaluatedAnswer {
  readonly index: number;
  readonly question: Question;
  readonly tuned: boolean;
  readonly answer: string;
  readonly exactMatch: boolean;
  /** Token F1, 0 to 1. */
  readonly f1: number;
}

export interface EvaluateInput {
  /** One generator with an adapter is both; a model trained in full is another one. */
  readonly base: TextGenerator;
  readonly tuned: TextGenerator;
  readonly questions: readonly Question[];
  /** Sequences that the generators decode at once. */
  readonly batchSize: number;
  readonly maxNewTokens: number;
}

export interface QuestionOptions {
  /** The run's `dataset_mapping`. */
  readonly mapping?: RunConfig['dataset_mapping'];
  /** Rows of the file, counted from 1, that are asked of, and whether each was held out; by default all, and none was. */
  readonly rows?: ReadonlyMap<number, boolean>;
  /** Questions to ask at most, of rows that were trained and of those that were held out each. */
  readonly limit?: number;
  /** Why a conversation can't be asked, or undefined where it can. */
  readonly obstacle?: (conversation: Conversation) => string | undefined;
}

/**
 * The first questions of a dataset, in its order, those of held-out rows before the others: the last answer that is trained
 * is the expected one. Throws `bad-data` where no row asks anything that can be asked: token ids and plain texts don't.
 */
export async function questionsOf(file: DatasetFile, options: QuestionOptions): Promise<Question[]> {
  const { mapping, rows, limit = Infinity, obstacle = () => undefined } = options;
  const { examples, format } = await parseDataset(file.name, file.bytes, { mapping });
  const heldOutQuestions: Question[] = [];
  const trainedQuestions: Question[] = [];
  let refused: string | undefined;
  for (const example of examples) {
    const heldOut = rows ? rows.get(example.row) : false;
    if (example.kind !== 'conversation' || heldOut === undefined) continue;
    const questions = heldOut ? heldOutQuestions : trainedQuestions;
    if (questions.length >= limit) continue;
    const { messages } = example.conversation;
    const answerAt = messages.findLastIndex(({ role }, i) => role === 'assistant' && !example.untrained.includes(i));
    const before = messages.slice(0, Math.max(0, answerAt));
    if (before.length === 0) continue;
    const question = contentOf(before.findLast(({ role }) => role === 'user'));
    const conversation = { ...example.conversation, messages: before };
    const reason = obstacle(conversation);
    refused ??= reason;
    if (reason !== undefined) continue;
    const expected = contentOf(messages[answerAt]);
    questions.push({ prompt: { kind: 'chat', ...conversation }, question, expected, heldOut });
  }
  const questions = [...heldOutQuestions, ...trainedQuestions];
  if (questions.length === 0 && limit > 0) {
    if (refused !== undefined) {
      throw new GraftError('bad-data', `${file.name} has no question that can be asked. ${refused}`);
    }
    const what = { tokens: 'token ids', text: 'plain texts' }[format] ?? 'rows';
    throw new GraftError('bad-data', `${file.name} has ${what} (${format}) and no questions to ask.`);
  }
  return questions;
}

/** Bytes of a dataset, and rows in them, in which it is looked for what its questions are like. */
const HEAD_BYTES = 2 ** 20;
const HEAD_ROWS = 100;

/**
 * The first question of a dataset, and whether its first rows are single questions, none of which follows on an answer;
 * null and false where it has none, or where its first rows can't be told.
 */
export async function describeQuestions(
  { name, bytes }: DatasetFile,
  mapping: RunConfig['dataset_mapping'],
): Promise<{ example: string | null; asksAlone: boolean }> {
  const isShort = bytes.length <= HEAD_BYTES;
  const beginning = isShort ? undefined : readBeginning(bytes.subarray(0, HEAD_BYTES), HEAD_ROWS);
  const head = isShort ? bytes : encodeUtf8(beginning?.text ?? '');
  const questions = await questionsOf({ name, bytes: head }, { mapping, limit: HEAD_ROWS }).catch(() => []);
  const answersBefore = questions.flatMap(({ prompt }) =>
    prompt.kind === 'chat' ? prompt.messages.filter(({ role }) => role === 'assistant') : [],
  );
  return { example: questions[0]?.question ?? null, asksAlone: questions.length > 0 && answersBefore.length === 0 };
}

/**
 * What keeps this run's model from being asked as training asked it: a template that refuses the conversation, or a
 * prompt that fills max_length. Training leaves such rows out.
 */
export function obstacleOf(run: RunConfig, model: HubModel): (conversation: Conversation) => string | undefined {
  const most = effectiveMaxLength(run, model.spec);
  return (conversation) => {
    try {
      const { length } = promptIds(model, { kind: 'chat', ...conversation });
      return length < most ? undefined : `A prompt has ${plural(length, 'token')}, and max_length is ${most}.`;
    } catch (error) {
      if (error instanceof GraftError) return error.message;
      throw error;
    }
  };
}

/** Questions for each sequence decoded at once before the other voice's turn: what waits fills the slots of what ends. */
const ROUND = 4;

/** Reports each answer with its scores. @throws `cancelled`; answers given until then have been reported. */
export async function evaluate(
  input: EvaluateInput,
  report: (answer: EvaluatedAnswer) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { questions, batchSize, maxNewTokens } = input;
  const atOnce = ROUND * batchSize;
  for (let from = 0; from < questions.length; from += atOnce) {
    const asked = questions.slice(from, from + atOnce);
    const prompts = asked.map(({ prompt }) => prompt);
    for (const tuned of [false, true]) {
      const options = { temperature: 0, topP: 1, topK: 0, seed: 0, stop: [], maxNewTokens, useAdapter: tuned };
      const score = ({ text }: { text: string }, i: number) => {
        const question = asked[i]!;
        const answer = text.trim();
        const scores = { exactMatch: exactMatch(answer, question.expected), f1: tokenF1(answer, question.expected) };
        report({ index: from + i, question, tuned, answer, ...scores });
      };
      await input[tuned ? 'tuned' : 'base'].generateAll(prompts, options, score, signal);
    }
  }
}
