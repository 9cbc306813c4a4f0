/** Rows and models without weights, for commands that show what a model reads. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsonLines, runHere } from './support';

const STARTER = 'public/models/starter';

export interface Shown {
  row: number;
  text: string;
  marked: string;
  input_ids: number[];
  labels: number[];
}

export interface Summary {
  notices: string[];
  skipped: { row: number; reason: string }[];
  format: string;
}

/** A folder for rows and models, and what makes them in it; `remove` takes it away. */
export function dataFolder() {
  const root = mkdtempSync(join(tmpdir(), 'graft-data-'));
  let count = 0;

  /** A file of rows, a JSON object a line. */
  const rowsFile = (...rows: object[]): string => {
    const path = join(root, `rows-${count++}.jsonl`);
    writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    return path;
  };

  /**
   * A folder with the starter's tokenizer and another chat template: no weights, no config.json. `change` is put over
   * tokenizer_config.json, `added` are special tokens besides.
   */
  const textModel = (template: string | undefined, change: object = {}, added: readonly string[] = []): string => {
    const folder = join(root, `model-${count++}`);
    mkdirSync(folder);
    const read = (name: string) => JSON.parse(readFileSync(join(STARTER, name), 'utf8')) as Record<string, unknown>;
    const tokenizer = read('tokenizer.json') as {
      added_tokens: object[];
      model: { vocab: Record<string, number> };
    };
    const first = Math.max(...Object.values(tokenizer.model.vocab)) + 1;
    const form = { special: true, normalized: false, lstrip: false, rstrip: false, single_word: false };
    tokenizer.added_tokens.push(...added.map((content, i) => ({ id: first + i, content, ...form })));
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
    const config = { ...read('tokenizer_config.json'), chat_template: template, ...change };
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
    return folder;
  };
  return { root, rowsFile, textModel, remove: () => rmSync(root, { recursive: true }) };
}

/** What `data show --json` prints: the rows, and what there is to say of them. */
export async function show(path: string, model = 'starter', ...more: string[]) {
  const { code, out, err } = await runHere('data', 'show', path, '--model', model, '--json', ...more);
  if (code !== 0) return { code, error: err, rows: [], summary: undefined };
  const lines = jsonLines<object>(out);
  return { code, error: err, rows: lines.slice(0, -1) as Shown[], summary: lines.at(-1) as Summary };
}
