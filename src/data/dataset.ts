/** Rows to typed examples. The format is told from the fields of the rows, and one file has one format. */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import type { SkippedRow } from '../core/events';
import { contentOf, type Conversation, type Message } from '../core/text';
import { readRows, type DatasetRow } from './rows';

export type DatasetFormat = 'alpaca' | 'messages' | 'prompt-completion' | 'question-answer' | 'tokens';

export type Example =
  | {
      readonly kind: 'conversation';
      readonly row: number;
      readonly where: string;
      readonly conversation: Conversation;
      /** Messages of the assistant that are context and not trained, by their place. */
      readonly untrained: readonly number[];
    }
  | {
      readonly kind: 'tokens';
      readonly row: number;
      readonly where: string;
      readonly inputIds: readonly number[];
      /** As long as inputIds and not shifted; -100 where not trained. */
      readonly labels: readonly number[];
    };

export interface Dataset {
  readonly name: string;
  readonly format: DatasetFormat;
  readonly examples: readonly Example[];
  /** Rows of the file that can't be used. */
  readonly skipped: readonly SkippedRow[];
  /** What the user should know of the file before training on it, a sentence each. */
  readonly notices: readonly string[];
}

export interface DatasetOptions {
  /** The share of rows that may be left out as unusable; with more the file is refused. */
  readonly maxBadRows: number;
}

/** Label of a position that is not trained on (PyTorch's `ignore_index`). */
export const IGNORED = -100;

/** Per format: the fields that mark it, in the order in which they are looked for, and how its rows read. */
const FORMATS: readonly { format: DatasetFormat; marks: readonly string[]; read: (row: DatasetRow) => Example }[] = [
  { format: 'tokens', marks: ['input_ids'], read: readTokens },
  { format: 'messages', marks: ['messages', 'conversations'], read: readConversation },
  { format: 'prompt-completion', marks: ['prompt'], read: readPromptCompletion },
  { format: 'alpaca', marks: ['instruction'], read: readAlpaca },
  {
    format: 'question-answer',
    marks: ['question'],
    read: (row) => turns(row, text(row, 'question'), response(row, 'answer')),
  },
];

const EXPECTED = 'expected instruction/output, messages, prompt/completion, question/answer, or input_ids/labels';

/** Role names of OpenAI's and ShareGPT's conversations. */
const ROLES = new Map<unknown, Message['role']>([
  ['system', 'system'],
  ['user', 'user'],
  ['human', 'user'],
  ['assistant', 'assistant'],
  ['gpt', 'assistant'],
  ['tool', 'tool'],
]);

/**
 * Reads a dataset file: a JSON array or JSON Lines, in one of the formats above.
 * @throws `bad-data` naming the file and the row or line.
 */
export async function parseDataset(
  fileName: string,
  content: Uint8Array | string,
  _options: DatasetOptions,
): Promise<Dataset> {
  const rows = readRows(fileName, content);
  const format = formatOf(rows[0]!);
  const examples = rows.map((row) => {
    const other = formatOf(row);
    if (other.format !== format.format) {
      throw new GraftError(
        'bad-data',
        `${row.where} is of the format ${other.format}, but the rows before it are ${format.format}: one file has one format.`,
      );
    }
    return format.read(row);
  });
  return { name: fileName, format: format.format, examples, skipped: [], notices: [] };
}

function formatOf(row: DatasetRow): (typeof FORMATS)[number] {
  const found = FORMATS.find(({ marks }) => marks.some((mark) => Object.hasOwn(row.value, mark)));
  if (found) return found;
  const fields = Object.keys(row.value).slice(0, 8).map(quote).join(', ') || 'no field';
  throw new GraftError('bad-data', `${row.where} has ${fields}; ${EXPECTED}.`);
}

function readAlpaca(row: DatasetRow): Example {
  const input = field(row, 'input') === undefined ? '' : text(row, 'input', true);
  const instruction = text(row, 'instruction');
  return turns(row, input === '' ? instruction : `${instruction}\n${input}`, response(row, 'output'));
}

/** Prompt and completion are texts, or lists of messages (TRL's conversational form). */
function readPromptCompletion(row: DatasetRow): Example {
  if (field(row, 'completion') === undefined && field(row, 'chosen') !== undefined) {
    throw new GraftError(
      'bad-data',
      `${row.where} is a preference pair (prompt, chosen, rejected); fine-tuning needs prompt and completion.`,
    );
  }
  if (!Array.isArray(field(row, 'prompt'))) return turns(row, text(row, 'prompt'), response(row, 'completion'));
  return conversation(row, [...messages(row, 'prompt'), ...messages(row, 'completion')]);
}

function readConversation(row: DatasetRow): Example {
  return conversation(row, messages(row, Object.hasOwn(row.value, 'messages') ? 'messages' : 'conversations'));
}

function conversation(row: DatasetRow, list: readonly Message[]): Example {
  if (!list.some(({ role }) => role === 'assistant')) {
    throw new GraftError('bad-data', `${row.where} has no response: no message is the assistant's.`);
  }
  const empty = list.findIndex((message) => message.role === 'assistant' && contentOf(message).trim() === '');
  if (empty >= 0)
    throw new GraftError('bad-data', `${row.where} has no response: message ${empty + 1} of the assistant is empty.`);
  return { kind: 'conversation', row: row.row, where: row.where, conversation: { messages: list }, untrained: [] };
}

function messages(row: DatasetRow, name: string): Message[] {
  const list = field(row, name);
  if (!Array.isArray(list) || list.length === 0) {
    throw new GraftError(
      'bad-data',
      `${row.where}: ${name} must be a list of messages with role and content, but is ${quote(list)}.`,
    );
  }
  return list.map((item: unknown, i) => {
    const message = typeof item === 'object' && item !== null ? (item as Readonly<Record<string, unknown>>) : {};
    const get = (key: string, older: string) =>
      Object.hasOwn(message, key) ? message[key] : Object.hasOwn(message, older) ? message[older] : undefined;
    const role = ROLES.get(get('role', 'from'));
    const content = get('content', 'value');
    if (!role) {
      throw new GraftError(
        'bad-data',
        `${row.where}: message ${i + 1} has the role ${quote(get('role', 'from'))}; use system, user, assistant or tool.`,
      );
    }
    if (typeof content !== 'string') {
      throw new GraftError(
        'bad-data',
        `${row.where}: the content of message ${i + 1} must be text, but is ${quote(content)}.`,
      );
    }
    return { role, content };
  });
}

function readTokens(row: DatasetRow): Example {
  const inputIds = integers(row, 'input_ids');
  const labels = field(row, 'labels') === undefined ? inputIds : integers(row, 'labels');
  if (labels.length !== inputIds.length) {
    throw new GraftError('bad-data', `${row.where} has ${inputIds.length} input_ids, but ${labels.length} labels.`);
  }
  const wrong = inputIds.findIndex((id, i) => id < 0 || (labels[i]! < 0 && labels[i] !== IGNORED));
  if (wrong >= 0) {
    throw new GraftError(
      'bad-data',
      `${row.where}: position ${wrong + 1} holds a negative id; only labels may, and only ${IGNORED}.`,
    );
  }
  if (!labels.slice(1).some((label) => label !== IGNORED)) {
    throw new GraftError(
      'bad-data',
      `${row.where} has nothing to train on: every label after the first is ${IGNORED}.`,
    );
  }
  return { kind: 'tokens', row: row.row, where: row.where, inputIds, labels };
}

function turns(row: DatasetRow, user: string, assistant: string): Example {
  return conversation(row, [
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ]);
}

/** The field's own value; null counts as absent. */
function field(row: DatasetRow, name: string): unknown {
  return Object.hasOwn(row.value, name) ? (row.value[name] ?? undefined) : undefined;
}

function text(row: DatasetRow, name: string, mayBeEmpty = false): string {
  const value = field(row, name);
  if (typeof value !== 'string') {
    throw new GraftError(
      'bad-data',
      `${row.where}: ${name} must be text, but is ${value === undefined ? 'missing' : quote(value)}.`,
    );
  }
  if (!mayBeEmpty && value.trim() === '') throw new GraftError('bad-data', `${row.where}: ${name} is empty.`);
  return value;
}

function response(row: DatasetRow, name: string): string {
  const value = field(row, name);
  if (value === undefined || (typeof value === 'string' && value.trim() === '')) {
    throw new GraftError(
      'bad-data',
      `${row.where} has no response: ${name} is ${value === undefined ? 'missing' : 'empty'}.`,
    );
  }
  return text(row, name);
}

function integers(row: DatasetRow, name: string): number[] {
  const value = field(row, name);
  if (!Array.isArray(value) || value.length === 0 || !value.every((id) => Number.isSafeInteger(id))) {
    throw new GraftError('bad-data', `${row.where}: ${name} must be a list of token ids, but is ${quote(value)}.`);
  }
  return value as number[];
}
