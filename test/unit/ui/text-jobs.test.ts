/** Jobs of the text worker on a real thread, some of which never come to an end. */
import { Worker as Thread } from 'node:worker_threads';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { TextJobRunner } from '../../../src/ui/client/text-jobs';
import type { Workers } from '../../../src/ui/client/workers';
import { DatasetState } from '../../../src/ui/features/data/dataset.svelte';
import type { DatasetRef } from '../../../src/protocol/data';
import type { TextJobs } from '../../../src/protocol/workers';
import { errorCode } from '../../../src/core/errors';
import { parseRunConfig } from '../../../src/core/config';
import type { RequestOf } from '../../../src/protocol/jobs';

/**
 * A thread with a text worker's face: `data.inspect` never ends for data called `endless`, takes more than a second
 * in one go for `slow`, and a moment for all others. It speaks comlink as the page's worker does.
 */
const SCRIPT = `
const { parentPort } = require('node:worker_threads');
import(${JSON.stringify(import.meta.resolve('comlink'))}).then(({ expose, proxy }) => {
  const endpoint = {
    postMessage: (message, transfer) => parentPort.postMessage(message, transfer),
    addEventListener: (_, listener) => parentPort.on('message', (data) => (listener.handleEvent ?? listener)({ data })),
    removeEventListener: () => undefined,
  };
  setInterval(() => parentPort.postMessage({ pulse: { allowance: 0 } }), 100);
  const run = async (id, kind, request) => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    if (request.dataset?.name === 'endless') for (;;) {}
    if (request.dataset?.name === 'slow') for (const end = Date.now() + 1500; Date.now() < end;) {}
    return request.dataset?.name ?? kind;
  };
  const recall = async () => {
    await new Promise((resolve) => setTimeout(resolve, 600));
    return { id: 'own', name: 'own.csv', content: 'builtin' };
  };
  expose({ open: async () => proxy({ data: { recall }, jobs: { run, cancel: async () => undefined } }) }, endpoint);
});
`;

let started = 0;

/** The part of a browser's Worker that the page uses, on a thread of Node. */
function startThread(): Worker {
  started++;
  const thread = new Thread(SCRIPT, { eval: true });
  const listeners = new Map<unknown, (data: unknown) => void>();
  return {
    postMessage: (message: unknown, transfer?: []) => thread.postMessage(message, transfer),
    addEventListener: (type: string, listener: (event: { data: unknown }) => void) => {
      const hear = (data: unknown) => listener({ data });
      listeners.set(listener, hear);
      if (type === 'message') thread.on('message', hear);
    },
    removeEventListener: (_: string, listener: unknown) => thread.off('message', listeners.get(listener)!),
    terminate: () => void thread.terminate(),
    start: () => undefined,
  } as unknown as Worker;
}

const inspect = (name: string): RequestOf<TextJobs, 'data.inspect'> => ({
  model: { kind: 'builtin', name: 'starter' },
  dataset: { id: name, name, content: 'builtin' } satisfies DatasetRef,
  config: parseRunConfig(''),
});
const outcome = (result: Promise<unknown>) =>
  result.then(String, (error: Error) => `${errorCode(error)}: ${error.message}`);

let ids = 0;
const run = (jobs: TextJobRunner, name: string) =>
  outcome(jobs.run(`${++ids}`, 'data.inspect', inspect(name), () => undefined));

beforeEach(() => {
  started = 0;
  const kept = new Map<string, string>();
  vi.stubGlobal('document', { baseURI: 'http://localhost/', addEventListener: () => undefined });
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('navigator', {});
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
});

describe('a job that never ends', () => {
  it('fails with a sentence that names it, and the jobs beside it are done all the same', async () => {
    const jobs = new TextJobRunner(startThread);
    const results = await Promise.all([run(jobs, 'a'), run(jobs, 'endless'), run(jobs, 'b')]);
    expect(results[0]).toBe('a');
    expect(results[1]).toMatch(/^bad-data: Reading endless with starter did not come to an end in time/);
    expect(results[2]).toBe('b');
  }, 30_000);

  it('takes no call of a service with it: the dataset of the last visit comes from the worker after', async () => {
    const jobs = new TextJobRunner(startThread);
    const endless = run(jobs, 'endless');
    const dataset = new DatasetState({ text: jobs } as unknown as Workers);
    await dataset.restore();
    expect(dataset.ref.name).toBe('own.csv');
    expect(await endless).toMatch(/did not come to an end/);
    expect(started).toBe(2);
  }, 30_000);

  it('is not tried again, after a reload either, until somebody asks for it', async () => {
    const jobs = new TextJobRunner(startThread);
    expect(await run(jobs, 'endless')).toMatch(/did not come to an end/);
    expect(started).toBe(1);
    const afterReload = new TextJobRunner(startThread);
    expect(await run(afterReload, 'endless')).toMatch(/did not come to an end/);
    expect(started).toBe(1); // nothing was asked of any worker
    expect(await run(afterReload, 'a')).toBe('a');
    afterReload.forgetHung();
    const again = run(afterReload, 'endless');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await run(afterReload, 'b')).toBe('b');
    expect(await again).toMatch(/did not come to an end/);
  }, 30_000);

  it('ends when it is cancelled, with its worker, and the next job finds a new one', async () => {
    const jobs = new TextJobRunner(startThread);
    const endless = outcome(jobs.run('it', 'data.inspect', inspect('endless'), () => undefined));
    await new Promise((resolve) => setTimeout(resolve, 600));
    await jobs.cancel('it');
    expect(await endless).toMatch(/^cancelled/);
    expect(await run(jobs, 'a')).toBe('a');
    expect(started).toBe(2);
  }, 30_000);

  it('gives way when it is cancelled to one that was asked for in its place', async () => {
    const jobs = new TextJobRunner(startThread);
    const endless = outcome(jobs.run('it', 'data.inspect', inspect('endless'), () => undefined));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const next = run(jobs, 'a');
    await jobs.cancel('it');
    expect(started).toBe(1); // the next call starts another
    expect(await endless).toMatch(/^cancelled/);
    expect(await next).toBe('a');
    expect(started).toBe(2);
  }, 30_000);
});

describe('a job that is cancelled', () => {
  it('leaves the worker to another that holds it up for a while', async () => {
    const jobs = new TextJobRunner(startThread);
    expect(await run(jobs, 'a')).toBe('a');
    const slow = run(jobs, 'slow');
    const quick = outcome(jobs.run('quick', 'data.inspect', inspect('b'), () => undefined));
    await new Promise((resolve) => setTimeout(resolve, 250));
    await jobs.cancel('quick');
    expect(await slow).toBe('slow');
    await quick;
    expect(started).toBe(1);
  }, 30_000);
});
