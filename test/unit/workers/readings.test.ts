import { describe, expect, test } from 'vitest';
import { errorCode, GraftError } from '../../../src/core/errors';
import { readingKey, type ReadData } from '../../../src/recipes';
import { Readings } from '../../../workers/runs/readings';
import { run } from '../recipes/support';

type Report = (rows: number, totalRows: number) => void;

/** Readings that end when they are told to, one after another. */
function byHand() {
  const started: { signal: AbortSignal; report: Report; end: (data: ReadData) => void; fail: (e: Error) => void }[] =
    [];
  const make = (report: Report, signal: AbortSignal) =>
    new Promise<ReadData>((resolve, reject) => {
      started.push({ signal, report, end: resolve, fail: reject });
      signal.addEventListener('abort', () => reject(new GraftError('cancelled', 'The reading was stopped.')));
    });
  return { started, make };
}

const data = (notice: string): ReadData => ({
  dataset: {
    name: 'd',
    format: 'text',
    exampleCount: 0,
    hasConversations: false,
    rowCount: 0,
    skipped: [],
    notices: [],
  },
  tokenized: {
    examples: [],
    truncated: 0,
    skipped: [],
    refused: [],
    notices: [],
    trainedTokens: 0,
    totalTokens: 0,
    longest: 0,
  },
  notices: [notice],
  skipped: [],
});

const codeOf = (promise: Promise<unknown>) => promise.then(() => 'done', errorCode);

describe('Readings', () => {
  test('gives all who ask for one key the same reading, with its progress, and keeps it', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    const heard: string[] = [];
    const one = readings.get('a', make, (rows, total) => heard.push(`one ${rows}/${total}`));
    const two = readings.get('a', make, (rows, total) => heard.push(`two ${rows}/${total}`));
    started[0]!.report(1, 2);
    started[0]!.end(data('first'));
    expect(await two).toBe(await one);
    expect(await readings.get('a', make)).toBe(await one);
    expect(started).toHaveLength(1);
    expect(heard).toEqual(['one 1/2', 'two 1/2']);
  });

  test('reads anew for another key, and forgets the one before', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    for (const [i, key] of ['a', 'b', 'a'].entries()) {
      const asked = readings.get(key, make);
      started[i]!.end(data(key));
      expect((await asked).notices).toEqual([key]);
    }
    expect(started).toHaveLength(3);
  });

  test('goes on when one of two gives up, and tells that one nothing more', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    const gone = new AbortController();
    const heard: number[] = [];
    const one = readings.get('a', make, (rows) => heard.push(rows), gone.signal);
    const two = readings.get('a', make);
    started[0]!.report(1, 3);
    gone.abort();
    expect(await codeOf(one)).toBe('cancelled');
    expect(started[0]!.signal.aborted).toBe(false);
    started[0]!.report(2, 3);
    started[0]!.end(data('whole'));
    expect((await two).notices).toEqual(['whole']);
    expect(heard).toEqual([1]);
  });

  test('is taken over by whoever asks before the only one gives up', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    const gone = new AbortController();
    const one = readings.get('a', make, undefined, gone.signal);
    const two = readings.get('a', make);
    gone.abort();
    started[0]!.end(data('whole'));
    expect(await codeOf(one)).toBe('cancelled');
    expect(await codeOf(two)).toBe('done');
    expect(started).toHaveLength(1);
  });

  test('stops when the last gives up, and the next one reads from the start', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    const [first, second] = [new AbortController(), new AbortController()];
    const asked = [first, second].map(({ signal }) => readings.get('a', make, undefined, signal));
    first.abort();
    second.abort();
    expect(await Promise.all(asked.map(codeOf))).toEqual(['cancelled', 'cancelled']);
    expect(started[0]!.signal.aborted).toBe(true);
    const again = readings.get('a', make);
    expect(started).toHaveLength(2);
    started[1]!.end(data('again'));
    expect((await again).notices).toEqual(['again']);
  });

  test('starts nothing for one who has given up already', async () => {
    const { started, make } = byHand();
    expect(await codeOf(new Readings().get('a', make, undefined, AbortSignal.abort()))).toBe('cancelled');
    expect(started).toHaveLength(0);
  });

  test('tells all who ask of a failure, and keeps none', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    const asked = [readings.get('a', make), readings.get('a', make)];
    started[0]!.fail(new Error('row 3 is broken'));
    for (const promise of asked) await expect(promise).rejects.toThrow('row 3 is broken');
    const again = readings.get('a', make);
    started[1]!.end(data('mended'));
    expect((await again).notices).toEqual(['mended']);
  });

  test('a reading that was replaced does not push out the newer one when it ends', async () => {
    const { started, make } = byHand();
    const readings = new Readings();
    const gone = new AbortController();
    const old = readings.get('a', make, undefined, gone.signal);
    const fresh = readings.get('b', make);
    gone.abort();
    expect(await codeOf(old)).toBe('cancelled');
    started[1]!.end(data('b'));
    await fresh;
    expect((await readings.get('b', make)).notices).toEqual(['b']);
    expect(started).toHaveLength(2);
  });
});

describe('readingKey', () => {
  const model = { spec: { vocabSize: 10, maxPositions: 512 }, tokenizer: undefined, template: undefined };
  const key = (settings: Record<string, string> = {}) => readingKey(run(settings), model);

  test('is the same whatever trains what was read', () => {
    const settings: Record<string, string>[] = [
      { learning_rate: '1e-5' },
      { num_train_epochs: '7' },
      { per_device_train_batch_size: '2', gradient_accumulation_steps: '3' },
      { val_set_size: '0.2', seed: '5', shuffle: 'false', packing: 'true' },
      { lora_r: '32', load_in_4bit: 'true' },
      { max_bad_rows: '0.5' },
    ];
    for (const some of settings) expect(key(some)).toBe(key());
  });

  test('differs where rows are read otherwise', () => {
    const others: Record<string, string>[] = [
      { max_length: '64' },
      { dataset_mapping: '{question: a, answer: b}' },
      { max_train_samples: '5' },
      { assistant_only_loss: 'false' },
      { chat_template: 'text' },
      { chat_template_kwargs: '{"a": 1}' },
    ];
    expect(new Set([{}, ...others].map((some) => key(some))).size).toBe(others.length + 1);
  });

  test("a limit beyond the model's own changes nothing", () => {
    expect(key({ max_length: '512' })).toBe(key({ max_length: '4096' }));
  });
});
