/** `graft data` and `graft tokens`: rows as the model reads them, with neither weights nor a GPU. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { field, hasField } from '../../support/field';
import { dataFolder, show } from './data-support';
import { jsonLines, runHere } from './support';

const { rowsFile, textModel, remove } = dataFolder();
afterAll(remove);

describe.skipIf(!hasField)('rows from the field', () => {
  interface RowsCase {
    name: string;
    file: string;
    expect: {
      rows?: string[];
      ids?: number[][];
      labels?: number[][];
      error?: string[];
      notice?: string[];
      skipped?: number[];
    };
  }
  const cases: RowsCase[] = hasField ? JSON.parse(readFileSync(field('rows.json'), 'utf8')) : [];

  test.each(cases)('$name', async ({ file, expect: expected }) => {
    const { code, error, rows, summary } = await show(field(file));
    if (expected.error) {
      expect(code).toBe(1);
      expect(error.trim().split('\n')).toHaveLength(1);
      for (const word of expected.error) expect(error.toLowerCase()).toContain(word.toLowerCase());
      return;
    }
    expect(error).toBe('');
    if (expected.rows) expect(rows.map(({ marked }) => marked)).toEqual(expected.rows);
    if (expected.ids) expect(rows.map(({ input_ids }) => input_ids)).toEqual(expected.ids);
    if (expected.labels) expect(rows.map(({ labels }) => labels)).toEqual(expected.labels);
    expect(summary?.skipped.map(({ row }) => row)).toEqual(expected.skipped ?? []);
    for (const word of expected.notice ?? []) expect(summary?.notices.join('\n')).toContain(word);
  });
});

describe.skipIf(!hasField)('templates from the field', () => {
  interface TemplateCase {
    template_name: string;
    template: string;
    conversation: string;
    messages: object[];
    tools: object[] | null;
    add_generation_prompt: boolean;
    extra: object;
    text?: string;
    error?: string;
  }
  const cases: TemplateCase[] = hasField ? JSON.parse(readFileSync(field('templates.json'), 'utf8')) : [];

  test.each(cases)(
    '$template_name, $conversation, $extra, prompt $add_generation_prompt',
    async ({ template, messages, tools, extra, add_generation_prompt, text, error }) => {
      const model = textModel(template, { bos_token: '<s>', eos_token: '</s>' });
      const file = rowsFile({ messages, ...(tools && { tools }) });
      const flags = add_generation_prompt ? ['--generation-prompt'] : [];
      const kwargs = ['--chat-template-kwargs', JSON.stringify(extra)];
      const { code, out, err } = await runHere('data', 'render', file, '--model', model, '--json', ...flags, ...kwargs);
      expect([code, err]).toEqual([0, '']);
      const [row] = jsonLines<{ row: number; text?: string; error?: string }>(out);
      if (error === undefined) expect(row).toEqual({ row: 1, text });
      else expect(row).toEqual({ row: 1, error: expect.stringMatching(/\S/) });
    },
  );
});
