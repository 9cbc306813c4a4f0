/** A training outlives the readers of what it says: its result is a folder. */
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tinyModel, tokenRows } from '../recipes/support';
import { startGraft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-pipes-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(8));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const train = (output: string) => [
  ...['train', '--model', path('model'), '--data', path('rows.jsonl'), '--output', path(output), '--json'],
  ...['--max_steps', '4', '--lora_r', '4'],
];
const isFinished = (output: string) => {
  const state = JSON.parse(readFileSync(path(`${output}/trainer_state.json`), 'utf8')) as { global_step: number };
  return state.global_step === 4 && existsSync(path(`${output}/adapter_model.safetensors`));
};

test('a reader of its events that leaves', async () => {
  const { child, ended } = startGraft(train('events'));
  child.stdout!.once('data', () => child.stdout!.destroy());
  const { code, err } = await ended;
  expect([code, isFinished('events')], err).toEqual([0, true]);
  expect(err).toContain("Standard output can't be written (its reader has gone): going on without it.");
});

test('a reader of its messages that leaves', async () => {
  const { child, ended } = startGraft(train('messages'));
  child.stderr!.once('data', () => child.stderr!.destroy());
  const { code } = await ended;
  expect([code, isFinished('messages')]).toEqual([0, true]);
});

test.skipIf(!existsSync('/dev/full'))('a full disk, which is a failure when all is done', () => {
  const full = openSync('/dev/full', 'w');
  const argv = ['dist/cli/graft.js', ...train('full')];
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', stdio: ['ignore', full, 'pipe'] });
  expect([status, isFinished('full')], stderr).toEqual([1, true]);
  expect(stderr).toMatch(
    /can't be written \(the disk is full\): going on without it[^]*"message":"The result can't be written/,
  );
});

test.skipIf(!existsSync('/dev/full'))('a chat whose output is full ends with that sentence alone', () => {
  const full = openSync('/dev/full', 'w');
  const argv = ['dist/cli/graft.js', 'chat', '--model', 'starter', '--max-new-tokens', '64'];
  const { status, stderr } = spawnSync(process.execPath, argv, {
    encoding: 'utf8',
    stdio: ['pipe', full, 'pipe'],
    input: 'hello\nhello again\n',
  });
  expect(status, stderr).toBe(1);
  expect(stderr).toContain("graft: The result can't be written to standard output: the disk is full.");
  expect(stderr).not.toMatch(/the conversation goes on/);
});
