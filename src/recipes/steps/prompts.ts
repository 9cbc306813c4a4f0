/** A file of prompts: JSON or JSON Lines, with the fields that datasets have too; answers in it are left aside. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { Message } from '../../core/text';
import { readRows, type DatasetRow } from '../../data/rows';
import type { Prompt } from '../generate';

export interface PromptRow {
  readonly prompt: Prompt;
  /** The row as it stands in the file. */
  readonly row: Readonly<Record<string, unknown>>;
}

const ROLES: readonly Message['role'][] = ['system', 'user', 'assistant', 'tool'];

/**
 * Reads `messages`, `prompt`, `question`, `instruction` (with `input`) or `input_ids` of each row. `raw` takes texts as
 * they stand instead of as a user's message.
 * @throws `bad-data` naming the file and the row.
 */
export async function readPrompts(fileName: string, bytes: Uint8Array, raw: boolean): Promise<PromptRow[]> {
  return readRows(fileName, bytes).map((row) => ({ prompt: promptOf(row, raw), row: row.value }));
}

/** A text as a user's message after an optional system message, or as it stands. */
export function textPrompt(text: string, raw: boolean, system?: string): Prompt {
  if (raw) return { kind: 'text', text };
  const opening: Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  return { kind: 'chat', messages: [...opening, { role: 'user', content: text }] };
}

function promptOf(row: DatasetRow, raw: boolean): Prompt {
  const field = (name: string) => (Object.hasOwn(row.value, name) ? row.value[name] : undefined);
  const ids = field('input_ids');
  if (Array.isArray(ids) && ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id >= 0)) {
    return { kind: 'tokens', ids: ids as number[] };
  }
  const conversation = field('messages');
  if (Array.isArray(conversation)) return { kind: 'chat', messages: question(row, conversation) };
  for (const name of ['prompt', 'question', 'instruction']) {
    const text = field(name);
    if (typeof text !== 'string' || text === '') continue;
    const input = name === 'instruction' ? field('input') : undefined;
    return textPrompt(typeof input === 'string' && input !== '' ? `${text}\n${input}` : text, raw);
  }
  throw new GraftError(
    'bad-data',
    `${row.where} has no prompt: expected prompt, messages, question, instruction or input_ids.`,
  );
}

/** The conversation up to the answer that is asked for. */
function question(row: DatasetRow, conversation: readonly unknown[]): Message[] {
  const messages = conversation.map((item, i): Message => {
    const { role, content } = (item ?? {}) as { role?: unknown; content?: unknown };
    const known = ROLES.find((name) => name === role);
    if (known && typeof content === 'string') return { role: known, content };
    throw new GraftError(
      'bad-data',
      `${row.where}: message ${i + 1} must have a role and content, but is ${quote(item)}.`,
    );
  });
  while (messages.at(-1)?.role === 'assistant') messages.pop();
  if (messages.length === 0) throw new GraftError('bad-data', `${row.where} has no message to answer.`);
  return messages;
}
