/** Readers that leave, and disks that are full, while a command writes. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/run';
import { SafeOutput } from '../../../src/cli/standard-output';
import { startGraft } from './support';

const SHOW = ['data', 'show', 'public/datasets/title-fees.jsonl', '--model', 'starter'];

/** A stream that refuses every write, as a full disk or a pipe without a reader does. */
function failing(code: string): SafeOutput {
  const error = Object.assign(new Error(code), { code });
  return new SafeOutput(new Writable({ write: (_chunk, _encoding, done) => done(error) }));
}

async function run(out: SafeOutput, ...argv: string[]) {
  let err = '';
  const code = await runCommandLine(argv, out, { write: (text) => (err += text) }, new AbortController().signal);
  return { code, err };
}

describe('a command whose result is what it prints', () => {
  test('ends silently, as any program that SIGPIPE ends, where its reader has left', async () => {
    expect(await run(failing('EPIPE'), ...SHOW)).toEqual({ code: 141, err: '' });
  });

  test('ends with a sentence where the disk is full', async () => {
    expect(await run(failing('ENOSPC'), ...SHOW)).toEqual({
      code: 1,
      err: "graft: The result can't be written to standard output: the disk is full.\n",
    });
  });

  test.skipIf(!existsSync('/dev/full'))('and so does the whole program', () => {
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', '"$0" dist/cli/graft.js tokens --model starter hello > /dev/full', process.execPath],
      {
        encoding: 'utf8',
      },
    );
    expect([status, stderr]).toEqual([1, "graft: The result can't be written to standard output: the disk is full.\n"]);
  });

  test('its program loses its reader without a word', async () => {
    const { child, ended } = startGraft([...SHOW, '--json']);
    child.stdout!.once('data', () => child.stdout!.destroy());
    expect(await ended).toMatchObject({ code: 141, err: '' });
  });
});

test('messages that nobody reads end nothing', async () => {
  const { child, ended } = startGraft(['plan']); // which says that it plans the starter
  child.stderr!.destroy();
  const { code, out } = await ended;
  expect([code, out]).toEqual([0, expect.stringMatching(/^weights/)]);
});

test('a stream that failed tells it once, and takes what follows in silence', async () => {
  const stream = new PassThrough();
  const output = new SafeOutput(stream);
  const told: unknown[] = [];
  output.onFailure(({ code }) => told.push(code));
  stream.emit('error', Object.assign(new Error('gone'), { code: 'EPIPE' }));
  stream.emit('error', Object.assign(new Error('gone'), { code: 'EPIPE' }));
  output.write('x');
  await output.flush();
  expect([told, stream.read()]).toEqual([['EPIPE'], null]);
});
