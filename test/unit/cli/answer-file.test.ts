import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AnswerFile } from '../../../src/cli/answer-file';
import { Terminal } from '../../../src/cli/terminal';
import { expectError } from '../recipes/support';
import { jsonLines } from './support';

let root: string;
beforeAll(() => (root = mkdtempSync(join(tmpdir(), 'graft-answers-'))));
afterAll(() => rmSync(root, { recursive: true }));

function open(path: string | undefined, json = false, mayReplace = false) {
  const said = { out: '', err: '' };
  const terminal = new Terminal({ write: (text) => (said.out += text) }, { write: (text) => (said.err += text) }, json);
  return { said, answers: new AnswerFile(path, terminal, mayReplace) };
}

test('each row is in the file as soon as it is done; an old file stays until then', () => {
  const path = join(root, 'folder/answers.jsonl');
  const { said, answers } = open(path);
  expect(existsSync(path)).toBe(false);
  answers.add({ output: 'a' });
  answers.add({ output: 'b' });
  expect(jsonLines(readFileSync(path, 'utf8'))).toEqual([{ output: 'a' }, { output: 'b' }]);
  answers.finish();
  expect(said).toEqual({ out: '', err: `2 answers are in ${path}\n` });

  expect(() => open(path)).toThrow(/answers\.jsonl is there already: --overwrite replaces it/);
  const { answers: next } = open(path, false, true);
  expect(jsonLines(readFileSync(path, 'utf8'))).toHaveLength(2);
  next.add({ output: 'c' });
  next.close();
  expect(jsonLines(readFileSync(path, 'utf8'))).toEqual([{ output: 'c' }]);
});

test('rows without an answer are said as they come, and counted in the end', async () => {
  const { said, answers } = open(undefined);
  answers.refuse('p.jsonl, line 1 has no prompt.');
  answers.add({ output: 'a' });
  expect(said).toEqual({ out: '{"output":"a"}\n', err: 'p.jsonl, line 1 has no prompt.\n' });
  await expectError(() => answers.finish(), 'bad-data', /^1 row can't be answered; the other 1 is answered\.$/);

  const { said: events, answers: toProgram } = open(undefined, true);
  toProgram.refuse('p.jsonl, line 1 has no prompt.');
  expect(jsonLines(events.out)).toEqual([
    { kind: 'error', code: 'bad-data', message: 'p.jsonl, line 1 has no prompt.' },
  ]);
});

test('thousands of them are named no further than a screen goes', async () => {
  const { said, answers } = open(undefined);
  for (let i = 1; i <= 5000; i++) answers.refuse(`line ${i}`);
  expect(said.err.trimEnd().split('\n')).toHaveLength(20);
  await expectError(() => answers.finish(), 'bad-data', /^5,000 rows can't be .*first 20 are named above.*no other/);
});

test('a file that can not be written is refused by name', async () => {
  writeFileSync(join(root, 'file'), '');
  const { answers } = open(join(root, 'file/answers.jsonl'));
  await expectError(() => answers.add({}), 'storage', /The folder .*file can't be made: there is a file of that name/);
});
