/** What the chat template makes of each row of a dataset, as text: no tokens, no mask. */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { ConversationReader } from '../data/examples/reader';
import { readRows } from '../data/rows';
import type { DatasetFile, TextModel } from './steps/data';
import { datedTemplate } from './steps/template-date';

/** One row: its text, or why it has none. */
export type RenderedRow =
  | { readonly row: number; readonly text: string; readonly error?: never }
  | { readonly row: number; readonly text?: never; readonly error: string };

/**
 * Every row of a file, in its order, with an answer or without. Messages with role and content reach the template as the
 * file has them, as Transformers' `apply_chat_template` would get them: with their nulls, and with lists of parts, which
 * training joins to text. Throws `bad-data` for a file that can't be read at all.
 */
export async function renderRows(
  run: RunConfig,
  model: TextModel,
  file: DatasetFile,
  addGenerationPrompt: boolean,
): Promise<RenderedRow[]> {
  const template = datedTemplate(run, model.template);
  if (!template) throw new GraftError('bad-data', 'The model has no tokenizer.json, and so no chat template.');
  const { rows, unreadable } = await readRows(file.name, file.bytes, { mapping: run.dataset_mapping });
  const reader = new ConversationReader();
  const rendered = rows.map(({ row, value }): RenderedRow => {
    try {
      return { row, text: template.render(reader.read(value), { addGenerationPrompt, asGiven: true }) };
    } catch (error) {
      if (!(error instanceof GraftError)) throw error;
      return { row, error: error.message };
    }
  });
  const left = unreadable.map(({ row, reason }): RenderedRow => ({ row, error: reason }));
  return [...rendered, ...left].sort((a, b) => a.row - b.row);
}
