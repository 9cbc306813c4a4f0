/** A file of prompts, read as datasets are; answers in it are left aside. */
import { GraftError, errorCode } from '../../core/errors';
import type { Message } from '../../core/text';
import { PromptReader, type AskedRow } from '../../data/examples/reader';
import { readRows } from '../../data/rows';
import type { Prompt } from './prompt-ids';

export interface PromptRow {
  readonly prompt: Prompt;
  /** The row as it stands in the file. */
  readonly row: Readonly<Record<string, unknown>>;
}

/**
 * Reads every row that can be trained on, up to its last answer, and rows without an answer too. `raw` takes texts as
 * they stand instead of as a user's message. `onUnusable` gets a `bad-data` that names file and row for each row that
 * can't be asked, which is then left out; by default it is thrown.
 */
export async function readPrompts(
  fileName: string,
  bytes: Uint8Array,
  raw: boolean,
  onUnusable: (error: GraftError) => void = (error) => {
    throw error;
  },
): Promise<PromptRow[]> {
  const { rows, unreadable } = await readRows(fileName, bytes);
  for (const { row, reason } of unreadable) {
    onUnusable(new GraftError('bad-data', `${fileName}: row ${row} ${reason}.`));
  }
  const reader = new PromptReader();
  return rows.flatMap(({ where, value }) => {
    try {
      return [{ prompt: { ...promptOf(reader.read(value), raw), where }, row: value }];
    } catch (cause) {
      if (errorCode(cause) !== 'bad-data') throw cause;
      onUnusable(new GraftError('bad-data', `${where} ${(cause as GraftError).message}.`, { cause }));
      return [];
    }
  });
}

/** A text as a user's message after an optional system message, or as it stands. */
export function textPrompt(text: string, raw: boolean, system?: string): Prompt {
  if (raw) return { kind: 'text', text };
  const opening: Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  return { kind: 'chat', messages: [...opening, { role: 'user', content: text }] };
}

function promptOf(asked: AskedRow, raw: boolean): Prompt {
  if (asked.kind === 'tokens') return { kind: 'tokens', ids: asked.inputIds };
  if (asked.kind === 'text') return { kind: 'text', text: asked.text };
  const { conversation, promptText } = asked;
  return raw && promptText !== undefined ? { kind: 'text', text: promptText } : { kind: 'chat', ...conversation };
}
