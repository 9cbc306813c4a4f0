/** The card kit outlives its parts: whatever one does, what it had found and why it ended are in the report. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { report } from '../../card/report';
import { runPart } from '../../card/run-part';
import type { Finding, Outcome } from '../../card/types';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'graft-card-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const CHECK: Finding = { kind: 'check', name: 'sums', passed: false, detail: 'off by 1' };

/** Runs a part that writes a finding and half of another one, and then does as `end` says. */
function part(end: string, seconds = 60): Promise<Outcome> {
  const file = join(folder, 'part.jsonl');
  const lines = `${JSON.stringify(CHECK)}\n{"kind": "ro`;
  const script = `require('fs').appendFileSync(${JSON.stringify(file)}, ${JSON.stringify(lines)}); ${end}`;
  return runPart('part', ['-e', script], { file, seconds });
}

test('a part that ends well', async () => {
  expect(await part('')).toEqual({ name: 'part', seconds: expect.any(Number) as number, findings: [CHECK] });
});

test('one that throws, crashes or ends itself', async () => {
  const thrown = await part('throw new Error("no such kernel")');
  expect(thrown.failure).toMatch(/^ended with code 1: .*no such kernel/);
  expect(thrown.findings).toEqual([CHECK]);
  expect((await part('process.abort()')).failure).toMatch(/^ended with SIGABRT/);
  expect((await part('console.error("bad"); process.exit(3)')).failure).toBe('ended with code 3: bad');
});

test('one that hangs is stopped, with what it started', async () => {
  const child = "require('child_process').spawnSync(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])";
  const stopped = await part(child, 2);
  expect(stopped.failure).toBe('stopped after 2 s');
  expect(stopped.findings).toEqual([CHECK]);
  expect(stopped.seconds).toBeLessThan(30);
});

test('the report says what failed, what was stopped, and every figure', () => {
  const row = {
    group: 'step',
    name: 'train',
    model: 'Llama',
    dtype: 'nf4',
    shape: 'T 512',
    value: 1234.5,
    unit: 'tokens/s',
  };
  const choice = { name: 'wide', milliseconds: { wide: 1, narrow: 2.5 }, differing: ['odd'] };
  const findings = [
    CHECK,
    { kind: 'row', row },
    { kind: 'choice', shapeClass: 'matmul 8 | 8', choice },
  ] as readonly Finding[];
  const text = report(
    [
      { name: 'ops', seconds: 1.4, findings },
      { name: 'steps', seconds: 90, findings: [], failure: 'stopped after 90 s' },
    ],
    { size: 'full', seconds: 91.4 },
  );
  expect(text).toContain('| sums | off by 1 |');
  expect(text).toContain('| ops | 1 | 1 | 1 | 1 | done |');
  expect(text).toContain('| steps | 90 | 0 | 0 | 0 | stopped after 90 s |');
  expect(text).toContain('| train | Llama | nf4 | T 512 | 1235 | tokens/s |');
  expect(text).toContain('| matmul 8   8 | wide | wide: 1.00, narrow: 2.50 | odd |');
});
