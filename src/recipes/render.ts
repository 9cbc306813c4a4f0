/** What the chat template makes of each row of a dataset, as text: no tokens, no mask. */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { parseDataset, type Example } from '../data/dataset';
import { refusalOf } from '../data/tokenize';
import type { DatasetFile, TextModel } from './steps/data';
import { datedTemplate } from './steps/template-date';

/** One row: its text, or why it has none. */
export type RenderedRow =
  | { readonly row: number; readonly text: string; readonly error?: never }
  | { readonly row: number; readonly text?: never; readonly error: string };

/** Every row of a file, in its order. Throws `bad-data` for a file that can't be read at all. */
export async function renderRows(
  run: RunConfig,
  model: TextModel,
  file: DatasetFile,
  addGenerationPrompt: boolean,
): Promise<RenderedRow[]> {
  const { examples, skipped } = await parseDataset(file.name, file.bytes, { maxBadRows: 1 });
  const template = datedTemplate(run, model.template);
  const render = (example: Example): string => {
    if (example.kind !== 'conversation') throw new GraftError('bad-data', `${example.where}: has no conversation.`);
    if (!template) throw new GraftError('bad-data', `${example.where}: the model has no tokenizer.json.`);
    return template.render(example.conversation, { addGenerationPrompt });
  };
  const rendered = examples.map((example): RenderedRow => {
    try {
      return { row: example.row, text: render(example) };
    } catch (error) {
      if (!(error instanceof GraftError)) throw error;
      return { row: example.row, error: refusalOf(error, example) ?? error.message };
    }
  });
  const left = skipped.map(({ row, reason }): RenderedRow => ({ row, error: reason }));
  return [...rendered, ...left].sort((a, b) => a.row - b.row);
}
