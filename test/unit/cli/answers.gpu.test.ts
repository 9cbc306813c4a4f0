import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder } from '../../../src/cli/folders';
import { largestDifference, relativeError } from '../../support/compare';
import { goldenTensors } from '../../support/folder';
import { hasReference, reference } from '../../support/reference';
import { graft, jsonLines, startGraft } from './support';

let root: string;
const path = (name: string) => join(root, name);
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'graft-answers-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Values as rows of `width`. */
function rowsOf(values: ArrayLike<number>, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, b) =>
    Array.from({ length: width }, (_, t) => values[b * width + t]!),
  );
}

describe.skipIf(!hasReference)('graft forward --gradients, against Transformers', () => {
  for (const family of ['llama2', 'tinyllama', 'llama3']) {
    test(family, async () => {
      const model = reference('golden/families', family);
      const expected = await goldenTensors(await openFolder(model), 'expected.safetensors');
      const ids = expected.get('input_ids')!;
      const rows = (name: string) => rowsOf(expected.get(name)!.values, ids.shape[1]!);
      writeFileSync(path('ids.json'), JSON.stringify({ input_ids: rows('input_ids'), labels: rows('labels') }));
      const { code, err, out } = await graft(
        ...[
          'forward',
          '--model',
          model,
          '--input',
          path('ids.json'),
          '--output',
          path('out.safetensors'),
          '--gradients',
          '--json',
        ],
      );
      expect(code, err).toBe(0);

      const { loss, greedy } = readExpected(model);
      const actual = await goldenTensors(await openFolder(root), 'out.safetensors');
      expect(actual.get('loss')).toMatchObject({ shape: [] });
      expect(Math.abs(actual.get('loss')!.values[0]! - loss)).toBeLessThan(1e-5);
      expect(jsonLines<{ loss: number }>(out)[0]!.loss).toBeCloseTo(loss, 4);
      expect(actual.get('logits')!.shape).toEqual(expected.get('logits')!.shape);
      expect(largestDifference(actual.get('logits')!.values, expected.get('logits')!.values)).toBeLessThan(2e-5);
      const gradients = [...expected.keys()].filter((name) => name.startsWith('grad.'));
      expect(gradients.length).toBeGreaterThan(10);
      for (const name of gradients) {
        expect(relativeError(actual.get(name)!.values, expected.get(name)!.values), name).toBeLessThan(1e-4);
      }

      writeFileSync(path('prompts.jsonl'), `${JSON.stringify({ input_ids: greedy.prompt })}\n`);
      const answered = await graft(
        ...['generate', '--model', model, '--input', path('prompts.jsonl'), '--temperature', '0'],
        ...['--max-new-tokens', String(greedy.ids.length), '--overwrite', '--output', path('answers.jsonl')],
      );
      expect(answered.code, answered.err).toBe(0);
      const [answer] = jsonLines<{ output_ids: number[] }>(readFileSync(path('answers.jsonl'), 'utf8'));
      expect(answer!.output_ids).toEqual(greedy.ids);
    });
  }

  function readExpected(model: string) {
    const json = JSON.parse(readFileSync(join(model, 'expected.json'), 'utf8')) as {
      loss: number;
      prompt_ids: number[];
      greedy_ids: number[];
    };
    return { loss: json.loss, greedy: { prompt: json.prompt_ids, ids: json.greedy_ids } };
  }
});

describe.skipIf(!hasReference)('graft with a real model', () => {
  const model = reference('models/stories260K');

  test('generate prints the text as it comes, and all there is to know with --json', async () => {
    const ask = [
      'generate',
      '--model',
      model,
      '--raw',
      '--prompt',
      'Once upon a time, there was a little girl',
      '--max-new-tokens',
      '20',
    ];
    const person = await graft(...ask);
    expect(person.code, person.err).toBe(0);
    expect(person.out).toMatch(/^ named Lily\. /);
    const [answer] = jsonLines<{ output: string; finish_reason: string }>((await graft(...ask, '--json')).out);
    expect(`${answer!.output}\n`).toBe(person.out);
    expect(answer!.finish_reason).toBe('length');
  });

  test('chat answers lines, starts over, and ends with its input', async () => {
    const started = startGraft(['chat', '--model', model, '--max-new-tokens', '8', '--json']);
    started.child.stdin!.end('Once upon a time\nAnd then?\n/reset\nOnce upon a time\n/nonsense\n');
    const { code, out, err } = await started.ended;
    expect(code, err).toBe(0);
    const answers = jsonLines<{ role: string; content: string }>(out);
    expect(answers).toHaveLength(3);
    expect(answers[2]).toEqual(answers[0]);
    expect(err).toMatch(/starts over[^]*\/reset starts over/);
  });
});

describe('generate --input', () => {
  const ask = (name: string, rows: readonly string[], ...more: string[]) => {
    writeFileSync(path(`${name}.jsonl`), rows.join('\n'));
    return [
      'generate',
      '--model',
      'starter',
      '--input',
      path(`${name}.jsonl`),
      '--output',
      path(`${name}.out`),
      ...more,
    ];
  };
  const written = (name: string) => jsonLines<{ prompt: string }>(readFileSync(path(`${name}.out`), 'utf8'));

  test('answers every row that it can, says which it cannot, and fails', async () => {
    const rows = ['{"prompt": "a"}', '{"prompt": ', JSON.stringify({ prompt: 'long '.repeat(60) }), '{"prompt": "b"}'];
    const { code, err } = await graft(...ask('mixed', rows, '--max-new-tokens', '3', '--context', '32'));
    expect(code, err).toBe(1);
    expect(written('mixed').map(({ prompt }) => prompt)).toEqual(['a', 'b']);
    expect(err).toMatch(/mixed\.jsonl: row 2 is not valid JSON/);
    expect(err).toMatch(/mixed\.jsonl, line 3: The prompt has \d+ tokens and the context holds 32/);
    expect(err).toMatch(/\ngraft: 2 rows can't be answered; the other 2 are in .*mixed\.out\.\n$/);
  });

  test('keeps what is done where it is killed', async () => {
    const rows = Array.from({ length: 500 }, (_, i) => JSON.stringify({ prompt: `${i}` }));
    const { child, ended } = startGraft(ask('killed', rows, '--json', '--max-new-tokens', '8'), () =>
      child.kill('SIGKILL'),
    );
    expect((await ended).killedBy).toBe('SIGKILL');
    const prompts = written('killed').map(({ prompt }) => prompt);
    expect(prompts.length).toBeGreaterThan(0);
    expect(prompts).toEqual(Array.from(prompts, (_, i) => `${i}`));
  });
});
