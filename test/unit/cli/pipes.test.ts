/** Readers that leave, and disks that are full, while a command writes; writers that are waited for. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openFifo } from '../../../src/cli/fifo';
import { runCommandLine } from '../../../src/cli/run';
import { SafeOutput } from '../../../src/cli/standard-output';
import { jsonLines, startGraft, type Started } from './support';

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

describe.skipIf(process.platform === 'win32')('a named pipe', () => {
  let folder: string;
  let fifo: string;
  let runFile: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'graft-fifo-'));
    [fifo, runFile] = [join(folder, 'rows.jsonl'), join(folder, 'run.yaml')];
    spawnSync('mkfifo', [fifo, runFile]);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Starts a command that reads its run file first: once that is taken, it is under way to wait for what it reads next. */
  async function startWaiting(argv: readonly string[]): Promise<Started> {
    const started = startGraft(argv);
    await writeFile(runFile, 'model_name_or_path: starter\n');
    await sleep(500);
    return started;
  }

  test('is read to its end, whoever writes to it in pieces', async () => {
    const { ended } = startGraft(['tokens', '--model', 'starter', '--input', fifo, '--json']);
    const writer = await open(fifo, 'w');
    const text = 'word '.repeat(30_000);
    await writer.write(`${JSON.stringify(text)}\n"sec`);
    await sleep(50);
    await writer.write('ond"\n');
    await writer.close();
    const { code, out } = await ended;
    const pieces = jsonLines<{ pieces: string[] }>(out).map((row) => row.pieces);
    expect([code, pieces.length, pieces[0]!.length > 30_000]).toEqual([0, 2, true]);
  });

  test.each([
    ['has no writer', () => fifo],
    ['is standard input', () => '-'],
  ])('ends a command with the first signal where it %s', async (_, file) => {
    const output = join(folder, 'run');
    for (const argv of [
      ['data', 'show', file(), '--run', runFile],
      ['train', runFile, '--data', file(), '--output', output],
    ]) {
      const { child, ended } = await startWaiting(argv);
      child.kill('SIGTERM');
      const stopped = expect.stringContaining('Stopped') as string;
      expect(await ended).toMatchObject({ code: 143, killedBy: null, err: stopped });
    }
  });

  test('ends a command with the first signal where its writer says nothing', async () => {
    const { child, ended } = startGraft(['generate', '--model', 'starter', '--input', fifo]);
    const writer = await open(fifo, 'w');
    await writer.write('{"question": ');
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 143, killedBy: null });
    await writer.close();
  });

  test('lets go of a thread that has only begun to wait', async () => {
    const controller = new AbortController();
    const opening = openFifo(fifo, controller.signal);
    controller.abort();
    await expect(opening).rejects.toMatchObject({ code: 'cancelled' });
    await expect(openFifo(fifo, controller.signal)).rejects.toMatchObject({ code: 'cancelled' });
  });
});
