/** Faults of the command line's surroundings: a GPU device that goes away, and a second process in one folder. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import type { TrainEvent } from '../../../src/core/events';
import { readAdapter } from '../../../src/formats/peft';
import { tinyModel, tokenRows } from '../recipes/support';
import { graft, jsonLines, startGraft, writeFolder } from './support';

let root: string;
const path = (name: string) => join(root, name);
const adapter = (output: string) => readFileSync(path(`${output}/adapter_model.safetensors`));

const STEPS = 12;
const train = (output: string, ...more: string[]) => [
  ...['train', '--model', path('model'), '--data', path('rows.jsonl'), '--output', path(output), '--json'],
  ...[
    '--learning_rate',
    '5e-3',
    '--lr_scheduler_type',
    'constant',
    '--max_steps',
    String(STEPS),
    '--save_steps',
    '2',
    '--lora_r',
    '4',
    ...more,
  ],
];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-faults-'));
  await writeFolder(path('model'), await tinyModel());
  writeFileSync(path('rows.jsonl'), tokenRows(24));
  const { code, err } = await graft(...train('whole'));
  expect(code, err).toBe(0);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Trains with devices that are lost in the middle of a step, `losses` of them. */
function trainLosing(losses: number, output: string) {
  const hook = resolve('test/support/lose-device.mjs');
  return startGraft(train(output), undefined, {
    NODE_OPTIONS: `--import=${hook}`,
    GRAFT_TEST_LOSE_AT: '40',
    GRAFT_TEST_LOSSES: String(losses),
  }).ended;
}

describe('a GPU device that is lost', () => {
  test('is opened again, and training ends in the bytes of a run that was left alone', async () => {
    const { code, out, err } = await trainLosing(1, 'lost');
    expect(code, err).toBe(0);
    expect(err).toMatch(/The GPU device was lost \(.+\): opening it again/);
    expect(jsonLines<TrainEvent>(out)).toContainEqual({ kind: 'resumed', step: expect.any(Number) as number });
    expect(adapter('lost').equals(adapter('whole'))).toBe(true);
  });

  test('twice is one line, after which the checkpoint can be exported and gone on from', async () => {
    const { code, err } = await trainLosing(2, 'twice');
    expect(code).toBe(1);
    expect(err).toMatch(/"The GPU device was lost .*checkpoint of step \d is kept\. This was the second loss/);
    expect(existsSync(path('twice/graft.lock'))).toBe(false);

    const exported = await graft('export', '--checkpoint', path('twice'), '--output', path('rescued'));
    expect(exported.code, exported.err).toBe(0);
    const [, step] = /by step (\d+) is in/.exec(exported.err) ?? [];
    expect(err).toContain(`checkpoint of step ${step} is kept`);
    const short = await graft(...train('short', '--max_steps', step!));
    expect(short.code, short.err).toBe(0);
    expect(adapter('rescued').equals(adapter('short'))).toBe(true);
    const readBack = async (name: string) => {
      const { lora, baseModel, tensors } = await readAdapter(await openFolder(path(name)));
      return { lora, baseModel, tensors };
    };
    expect(await readBack('rescued')).toEqual(await readBack('short'));

    expect((await graft(...train('twice', '--resume'))).code).toBe(0);
    expect(adapter('twice').equals(adapter('whole'))).toBe(true);
  });
});

test('a folder without a checkpoint has nothing to export', async () => {
  const { code, err } = await graft('export', '--checkpoint', path('whole'), '--output', path('nothing'));
  expect([code, err]).toEqual([1, expect.stringMatching(/holds no checkpoint: a finished run has none/)]);
  expect(existsSync(path('nothing'))).toBe(false);
});

describe('two processes in one folder', () => {
  test('the second is refused while the first trains; a killed one stands in nobody’s way', async () => {
    let refused: ReturnType<typeof graft> | undefined;
    const first = startGraft(train('shared', '--max_steps', '2000'), (line) => {
      const event = JSON.parse(line) as TrainEvent;
      if (event.kind === 'checkpoint') refused ??= graft(...train('shared', '--resume', '--max_steps', '2000'));
      void refused?.then(() => first.child.kill('SIGKILL'));
    });
    expect((await first.ended).killedBy).toBe('SIGKILL');
    const { code, err } = (await refused)!;
    expect([code, err]).toEqual([1, expect.stringMatching(/in use by another graft train \(process \d+\)/)]);
    expect(readFileSync(path('shared/graft.lock'), 'utf8')).toBe(`${first.child.pid}\n`);

    let stopped = false;
    const next = startGraft(train('shared', '--resume', '--max_steps', '2000'), (line) => {
      if (stopped || (JSON.parse(line) as TrainEvent).kind !== 'step') return;
      stopped = next.child.kill('SIGINT'); // once: a second one would end it in the middle
    });
    expect((await next.ended).code).toBe(130);
    expect(existsSync(path('shared/graft.lock'))).toBe(false);
  });
});
