import { describe, expect, test } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import type { JobKind } from '../../../src/protocol/jobs';
import { JobHost } from '../../../workers/jobs/job-host';
import { JobQueue, JobSet, orCancelled } from '../../../workers/jobs/jobs';
import { Latest } from '../../../workers/models/latest';

/** A job that ends when it is told to. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

const codeOf = (promise: Promise<unknown>) => promise.then(() => 'done', errorCode);

describe('JobSet', () => {
  test('runs jobs beside each other, and cancels the one that is named', async () => {
    const jobs = new JobSet();
    const [first, second] = [gate(), gate()];
    const a = jobs.run('a', (signal) => orCancelled(first.opened, signal));
    const b = jobs.run('b', (signal) => orCancelled(second.opened, signal));
    jobs.cancel('a');
    jobs.cancel('unknown');
    second.open();
    expect([await codeOf(a), await codeOf(b)]).toEqual(['cancelled', 'done']);
  });
});

describe('JobQueue', () => {
  test('runs one job at a time, in the order of asking', async () => {
    const queue = new JobQueue();
    const first = gate();
    const order: string[] = [];
    const a = queue.run('a', async () => {
      order.push('a begins');
      await first.opened;
      order.push('a ends');
    });
    const b = queue.run('b', () => Promise.resolve(order.push('b')));
    const c = queue.run('c', () => Promise.resolve(order.push('c')));
    await Promise.resolve();
    first.open();
    await Promise.all([a, b, c]);
    expect(order).toEqual(['a begins', 'a ends', 'b', 'c']);
  });

  test('goes on when a job that can not be stopped is left behind', async () => {
    const queue = new JobQueue();
    const stuck = queue.run('stuck', (signal) => orCancelled(new Promise<void>(() => undefined), signal));
    const next = queue.run('next', () => Promise.resolve('done'));
    queue.cancel('stuck');
    expect(await codeOf(stuck)).toBe('cancelled');
    expect(await next).toBe('done');
  });

  test('a failed job does not stop the next', async () => {
    const queue = new JobQueue();
    const failed = queue.run('a', () => Promise.reject(new Error('no')));
    const next = queue.run('b', () => Promise.resolve('yes'));
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });

  test('cancels the running job through its signal', async () => {
    const queue = new JobQueue();
    const started = gate();
    const seen = queue.run('a', (signal) => {
      started.open();
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve('aborted')));
    });
    await started.opened;
    queue.cancel('a');
    expect(await seen).toBe('aborted');
  });

  test('cancels a waiting job at once, and the ones behind it still wait their turn', async () => {
    const queue = new JobQueue();
    const first = gate();
    const order: string[] = [];
    const a = queue.run('a', () => first.opened);
    const b = queue.run('b', () => Promise.resolve(order.push('b')));
    const c = queue.run('c', () => Promise.resolve(order.push('c')));
    queue.cancel('b');
    expect(await codeOf(b)).toBe('cancelled');
    expect(order).toEqual([]);
    first.open();
    await Promise.all([a, c]);
    expect(order).toEqual(['c']);
  });

  test('cancelling what is over or was never there does nothing', async () => {
    const queue = new JobQueue();
    await queue.run('a', () => Promise.resolve());
    queue.cancel('a');
    queue.cancel('nobody');
    expect(await queue.run('a', (signal) => Promise.resolve(signal.aborted))).toBe(false);
  });
});

describe('JobHost', () => {
  test('runs a job beside the queue where its request says so, and cancels it there', async () => {
    const training = gate();
    const events: string[] = [];
    const host = new JobHost<{ train: JobKind<null, string>; chat: JobKind<string, string> }>(
      {
        train: () => training.opened.then(() => 'trained'),
        chat: (run, { signal }) =>
          run === 'endless'
            ? orCancelled(new Promise<string>(() => undefined), signal)
            : Promise.resolve(`from ${run}`),
      },
      { besideQueue: { chat: (run) => run !== 'finished' } },
    );
    const hear = (name: string) => (event: { kind: string }) => void events.push(`${name} ${event.kind}`);
    const trained = host.run('1', 'train', null, hear('train'));
    const waiting = host.run('2', 'chat', 'finished', hear('finished'));
    expect(await host.run('3', 'chat', 'training', hear('training'))).toBe('from training');
    const endless = host.run('4', 'chat', 'endless', hear('endless'));
    await host.cancel('4');
    expect(await codeOf(endless)).toBe('cancelled');
    training.open();
    expect([await trained, await waiting]).toEqual(['trained', 'from finished']);
    expect(events).toEqual(['finished queued', 'train started', 'finished started']);
  });
});

describe('Latest', () => {
  test('makes once for a key, again for another, and keeps no failure', async () => {
    const latest = new Latest<number>();
    let made = 0;
    const make = () => Promise.resolve(++made);
    expect([await latest.get('a', make), await latest.get('a', make), await latest.get('b', make)]).toEqual([1, 1, 2]);
    expect(await latest.get('a', make)).toBe(3);
    await expect(latest.get('c', () => Promise.reject(new Error('no')))).rejects.toThrow();
    expect(await latest.get('c', make)).toBe(4);
    latest.forget();
    expect(await latest.get('c', make)).toBe(5);
  });
});
