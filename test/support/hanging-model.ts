/** The starter with a tokenizer whose regular expression takes JavaScript's engine longer than a century. */
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A text over which it does. */
export const HANGING_TEXT = `${'a'.repeat(60)}!`;

interface Tokenizer {
  pre_tokenizer: { type: string };
}

/** A folder `hanging`; its chat template writes such a text before every conversation, so that opening it would hang, too. */
export async function writeHangingModel(): Promise<string> {
  const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'hanging');
  await cp('public/models/starter', folder, { recursive: true });
  const change = async <T>(file: string, edit: (content: T) => T) => {
    const path = join(folder, file);
    await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')) as T)));
  };
  const split = { type: 'Split', pattern: { Regex: '^(a+)+$' }, behavior: 'Isolated', invert: false };
  await change<Tokenizer>('tokenizer.json', (parts) => ({
    ...parts,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [split, parts.pre_tokenizer] },
  }));
  await change<{ chat_template: string }>('tokenizer_config.json', (config) => ({
    ...config,
    chat_template: `{{ '${HANGING_TEXT}' }}${config.chat_template}`,
  }));
  return folder;
}
