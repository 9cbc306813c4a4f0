/** Readers that leave, and disks that are full, while a command writes; writers that are waited for. */
import { spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openFifo } from '../../../src/cli/fifo';
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

describe.skipIf(!existsSync('/proc/self/status'))('a named pipe', () => {
  let folder: string;
  let fifo: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'graft-fifo-'));
    fifo = join(folder, 'rows.jsonl');
    spawnSync('mkfifo', [fifo]);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Until the program has its own way to end by SIGTERM (signal 15), and some time to come to its waiting. */
  async function isUnderWay(child: ChildProcess): Promise<void> {
    const read = (file: string) => readFileSync(`/proc/${child.pid}/${file}`, 'utf8');
    const caught = () => parseInt(/SigCgt:\s*[0-9a-f]*([0-9a-f]{4})$/m.exec(read('status'))![1]!, 16);
    // Until it is the program, it is a copy of this one.
    while (!read('cmdline').includes('graft.js') || !(caught() & (1 << 14))) await sleep(20);
    await sleep(500);
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
    const pieces = out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { pieces: string[] }).pieces);
    expect([code, pieces.length, pieces[0]!.length > 30_000]).toEqual([0, 2, true]);
  });

  test.each([
    ['a run file', (path: string) => ['plan', path]],
    ['a dataset', (path: string) => ['data', 'show', path, '--model', 'starter']],
    ['prompts', (path: string) => ['generate', '--model', 'starter', '--input', path]],
    ['the data of a run', (path: string) => ['train', '--model', 'starter', '--data', path, '--output', `${path}.run`]],
  ])('that nobody writes to ends with the first signal, where it is %s', async (_, argv) => {
    const { child, ended } = startGraft(argv(fifo));
    await isUnderWay(child);
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 143, killedBy: null, err: expect.stringContaining('Stopped') as string });
  });

  test('whose writer says nothing does so too, and standard input', async () => {
    const waiting = startGraft(['data', 'show', fifo, '--model', 'starter']);
    const writer = await open(fifo, 'w');
    await writer.write('{"question": ');
    const piped = startGraft(['tokens', '--model', 'starter', '--input', '-']);
    for (const { child, ended } of [waiting, piped]) {
      await isUnderWay(child);
      child.kill('SIGTERM');
      expect(await ended).toMatchObject({ code: 143, killedBy: null });
    }
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
