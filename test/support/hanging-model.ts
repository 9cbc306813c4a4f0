/** The starter with a tokenizer whose regular expression goes on for ever over certain texts. */
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A text over which the tokenizer takes more steps than there are seconds in a century. */
export const HANGING_TEXT = `${'a'.repeat(60)}!`;

interface Parts {
  pre_tokenizer: { type: string };
}

/** A folder `hanging`; with `atOpening`, its chat template writes such a text around every conversation, too. */
export async function writeHangingModel({ atOpening = false } = {}): Promise<string> {
  const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'hanging');
  await cp('public/models/starter', folder, { recursive: true });
  const change = async <T>(file: string, edit: (content: T) => T) => {
    const path = join(folder, file);
    await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')) as T)));
  };
  await change<Parts>('tokenizer.json', (parts) => ({
    ...parts,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: '^(a+)+$' }, behavior: 'Isolated', invert: false },
        parts.pre_tokenizer,
      ],
    },
  }));
  if (atOpening) {
    await change<{ chat_template: string }>('tokenizer_config.json', (config) => ({
      ...config,
      chat_template: `{{ '${HANGING_TEXT}' }}${config.chat_template}`,
    }));
  }
  return folder;
}
