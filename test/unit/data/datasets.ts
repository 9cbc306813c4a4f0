/** Datasets as the tests of their reading write and read them. */
import { expect } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import type { Message } from '../../../src/core/text';
import { parseDataset, type Dataset } from '../../../src/data/dataset';

export const jsonl = (...rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join('\n');
export const options = { maxBadRows: 0.1 };
export const refusal = async (content: string | Uint8Array, name = 'data.jsonl'): Promise<string> => {
  try {
    await parseDataset(name, content, options);
  } catch (error) {
    expect(errorCode(error)).toBe('bad-data');
    return (error as Error).message;
  }
  throw new Error('accepted');
};
export const turns = (user: string, assistant: string) => [
  { role: 'user', content: user },
  { role: 'assistant', content: assistant },
];
/** The messages of the first example of a dataset. */
export const firstMessages = ({ examples: [example] }: Dataset): readonly Message[] =>
  example?.kind === 'conversation' ? example.conversation.messages : [];
export const messagesOf = async (content: string) =>
  (await parseDataset('data.json', content, options)).examples.map((example) =>
    example.kind === 'conversation' ? example.conversation.messages : undefined,
  );
