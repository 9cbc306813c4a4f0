import { describe, expect, it } from 'vitest';
import { WriteAhead } from '../../../src/ui/client/write-ahead';

/** A store whose writes end when they are told to. */
function slowStore() {
  const log: string[] = [];
  const waiting: ((error?: Error) => void)[] = [];
  const errors: unknown[] = [];
  const ahead = new WriteAhead<string>(
    (index, value) =>
      new Promise((resolve, reject) => {
        log.push(`keep ${index} ${value}`);
        waiting.push((error) => (error ? reject(error) : resolve()));
      }),
    (index, value) => log.push(`show ${index} ${value}`),
    (error) => errors.push(error),
  );
  const finish = async (error?: Error) => {
    waiting.shift()!(error);
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { ahead, log, errors, finish };
}

describe('what comes is shown once it is kept', () => {
  it('and what came meanwhile is written in one go, the newest of each place', async () => {
    const { ahead, log, finish } = slowStore();
    ahead.put(0, 'a');
    ahead.put(0, 'ab');
    expect(log).toEqual(['keep 0 a']);
    ahead.put(0, 'abc');
    ahead.put(1, 'x');
    await finish();
    expect(log).toEqual(['keep 0 a', 'show 0 a', 'keep 0 abc']);
    await finish();
    await finish();
    await ahead.settled();
    expect(log.slice(3)).toEqual(['show 0 abc', 'keep 1 x', 'show 1 x']);
    ahead.put(1, 'xy');
    await finish();
    expect(log.at(-1)).toBe('show 1 xy');
  });

  it('or where keeping fails, which is told', async () => {
    const { ahead, log, errors, finish } = slowStore();
    const full = new Error('no room');
    ahead.put(0, 'a');
    await finish(full);
    expect(errors).toEqual([full]);
    expect(log).toEqual(['keep 0 a', 'show 0 a']);
  });

  it('until it is closed, which waits for what is being written', async () => {
    const { ahead, log, finish } = slowStore();
    ahead.put(0, 'a');
    ahead.put(0, 'ab');
    let isClosed = false;
    const closing = ahead.close().then(() => (isClosed = true));
    ahead.put(0, 'abc');
    await new Promise((resolve) => setTimeout(resolve));
    expect(isClosed).toBe(false);
    await finish();
    await closing;
    expect(log).toEqual(['keep 0 a']);
  });
});
