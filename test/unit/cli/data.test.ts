/** `graft data` and `graft tokens`: rows as the model reads them, with neither weights nor a GPU. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { field, hasField } from '../../support/field';
import { dataFolder, show } from './data-support';
import { jsonLines, runHere } from './support';

const { root, rowsFile, textModel, remove } = dataFolder();
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

describe('graft data show', () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({ question: `Say ${i}.`, answer: i === 1 ? '' : `${i}` }));

  test('prints each row with what is trained, then what to know of the file', async () => {
    const { code, out } = await runHere('data', 'show', rowsFile(...rows), '--model', 'starter', '--rows', '1-3,5');
    expect(code).toBe(0);
    expect([...out.matchAll(/^── row (\d+), (\d+) tokens\n(.*)$/gm)].map(([, row, , text]) => [row, text])).toEqual([
      ['1', '<|user|>Say 0.<|assistant|>⟦0<|end|>⟧'],
      ['3', '<|user|>Say 2.<|assistant|>⟦2<|end|>⟧'],
      ['5', '<|user|>Say 4.<|assistant|>⟦4<|end|>⟧'],
    ]);
    expect(out).toContain('• 1 of 12 rows is left out: row 2 has an empty answer.');
    expect(out).toMatch(/11 rows of question-answer: \d+ tokens, \d+ of them trained/);
  });

  test('cuts and counts as the run would, of the rows that the run would take', async () => {
    const { rows: shown, summary } = await show(
      rowsFile(...rows),
      'starter',
      ...['--max-length', '6', '--max-train-samples', '3', '--assistant-only-loss', 'false'],
    );
    expect(shown.map(({ row, input_ids }) => [row, input_ids.length])).toEqual([
      [1, 6],
      [3, 6],
      [4, 6],
    ]);
    expect(summary?.skipped).toEqual([{ row: 2, reason: 'has an empty answer' }]);
    expect(shown[0]!.labels).toEqual(shown[0]!.input_ids);
  });

  test('takes the settings of a run file, and the model from there', async () => {
    const run = join(root, 'run.yaml');
    writeFileSync(run, 'model_name_or_path: starter\nmax_bad_rows: 0\n');
    const { code, err } = await runHere('data', 'show', rowsFile(...rows), '--run', run);
    expect([code, err]).toEqual([1, expect.stringMatching(/1 of 12 rows can't be used, and max_bad_rows 0 allows/)]);
  });

  test('is called with an action and a file, and rows that are numbers', async () => {
    const sentence = async (...argv: string[]) => (await runHere('data', ...argv)).err;
    expect(await sentence('shwo', 'x')).toContain('graft data show FILE');
    expect(await sentence('show')).toContain('Name a dataset');
    expect(await sentence('show', 'x')).toContain('--model is missing');
    expect(await sentence('show', 'x', '--model', 'starter', '--rows', 'a')).toContain(
      '--rows must be rows such as 1-5',
    );
    expect(await sentence('show', 'x.jsonl', '--model', 'starter')).toContain('There is no dataset x.jsonl');
  });
});

describe('graft tokens', () => {
  test('prints ids and pieces of each text', async () => {
    const { code, out } = await runHere('tokens', '--model', 'starter', 'Hello there', '<|user|>', '--json');
    expect(code).toBe(0);
    expect(jsonLines(out)).toEqual([
      { ids: [45, 540, 84, 503], pieces: ['H', 'ell', 'o', 'Ġthere'] },
      { ids: [4], pieces: ['<|user|>'] },
    ]);
  });

  test('reads texts from JSON Lines, and names the line that holds none', async () => {
    const path = join(root, 'texts.jsonl');
    writeFileSync(path, '"Hello"\n{"text": "Hello"}\r\n\n');
    const { out } = await runHere('tokens', '--model', 'starter', '--input', path, '--json');
    expect(jsonLines<{ ids: number[] }>(out).map(({ ids }) => ids)).toEqual([
      [45, 540, 84],
      [45, 540, 84],
    ]);
    writeFileSync(path, '"Hello"\n{"body": "Hello"}\n');
    const { code, err } = await runHere('tokens', '--model', 'starter', '--input', path);
    expect([code, err]).toEqual([1, expect.stringContaining('texts.jsonl, line 2: expected a text')]);
    expect((await runHere('tokens', '--model', 'starter')).err).toContain('Give either texts or --input FILE');
  });
});
