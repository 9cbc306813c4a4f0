import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HubClient } from '../../../src/hub/client';
import type { FileSource } from '../../../src/core/store';
import { hubSource } from '../../../src/hub/source';
import { LOGIN_PAGE } from '../../support/stand-in-hub';
import { collect, expectError, jsonBytes, openSource, quickClient, someBytes, useHub } from './support';

const ID = 'org/tiny';
const WEIGHTS = 'model.safetensors';
const SIZE = 4 * 2 ** 20 + 123;
const BYTES = someBytes(SIZE);

const held = useHub();

async function open(options?: Parameters<typeof openSource>[2]): Promise<FileSource> {
  held.hub.add(ID, { 'config.json': jsonBytes({ model_type: 'llama' }), [WEIGHTS]: BYTES });
  return openSource(held.hub, ID, options);
}
const stream = (source: FileSource, start = 0, signal?: AbortSignal) => source.stream!(WEIGHTS, start, signal);
/** Compares without listing millions of bytes. */
async function expectStream(source: FileSource, start = 0): Promise<void> {
  expect(Buffer.compare(await collect(stream(source, start)), BYTES.subarray(start))).toBe(0);
}
const weightBytesSent = () => held.hub.weightRequests().reduce((sum, { sent }) => sum + sent, 0);

describe('reading', () => {
  test('names and sizes cost no request; a range costs one at each host', async () => {
    const source = await open();
    const before = held.hub.requests.length;
    expect(await source.list()).toEqual(['config.json', WEIGHTS]);
    expect(await source.size(WEIGHTS)).toBe(SIZE);
    expect(await source.size('none')).toBeUndefined();
    expect(await source.sha256!(WEIGHTS)).toMatch(/^[0-9a-f]{64}$/);
    expect(await source.sha256!('config.json')).toBeUndefined();
    expect(held.hub.requests.length).toBe(before);
    expect(await source.read(WEIGHTS, 1000, 3000)).toEqual(BYTES.slice(1000, 3000));
    expect(held.hub.requests.slice(before).map(({ host, range }) => [host, range])).toEqual([
      ['hub', 'bytes=1000-2999'],
      ['cdn', 'bytes=1000-2999'],
    ]);
    expect(weightBytesSent()).toBe(2000);
  });

  test('ends where the file ends, whole or in part, and of an empty range asks nothing', async () => {
    const source = await open();
    expect(Buffer.compare(await source.read(WEIGHTS), BYTES)).toBe(0);
    expect(await source.read(WEIGHTS, SIZE - 5, SIZE + 5)).toEqual(BYTES.slice(-5));
    const before = held.hub.requests.length;
    expect(await source.read(WEIGHTS, SIZE)).toEqual(new Uint8Array(0));
    expect(await source.read(WEIGHTS, 7, 7)).toEqual(new Uint8Array(0));
    expect(held.hub.requests.length).toBe(before);
    expect(JSON.parse(new TextDecoder().decode(await source.read('config.json')))).toEqual({ model_type: 'llama' });
    await expectError(() => source.read('none'), 'not-found', /org\/tiny has no file none/);
  });

  test('every file is read at the commit that the revision stood for', async () => {
    const source = await open();
    expect(source.commit).toMatch(/^[0-9a-f]{40}$/);
    await source.read('config.json');
    for (const { path } of held.hub.requests.slice(1)) expect(path).toContain(source.commit);
  });

  test('a stream is one request from its first byte on', async () => {
    const source = await open();
    await expectStream(source, 1_000_000);
    expect(held.hub.weightRequests().map(({ range }) => range)).toEqual(['bytes=1000000-']);
  });
});

describe('a transfer that breaks off goes on where it stopped', () => {
  test('cut at ten random points', async () => {
    const points = fc.uniqueArray(fc.integer({ min: 1, max: SIZE - 1 }), { minLength: 10, maxLength: 10 });
    // What is under way on a connection when it is cut is lost, so that several in a row may bring nothing.
    const source = await open({ transferRetries: { attempts: 11 } });
    await fc.assert(
      fc.asyncProperty(points, async (cuts) => {
        held.hub.requests.length = 0;
        held.hub.faults.splice(0, Infinity, ...cuts.map((cutAt) => ({ host: 'cdn' as const, cutAt, times: 1 })));
        await expectStream(source);
        const requests = held.hub.weightRequests();
        expect(requests.length).toBeLessThanOrEqual(11);
        expect(requests.length).toBeGreaterThan(1);
        const starts = requests.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range!)![1]));
        expect(starts).toEqual(starts.toSorted((a, b) => a - b));
        expect(starts.at(-1)).toBeGreaterThan(0);
      }),
      { numRuns: 5 },
    );
  });

  test('a stall is noticed and counts as a cut', async () => {
    const source = await open({ stallMs: 200 });
    held.hub.faults.push({ host: 'cdn', stallAt: 1_234_567, times: 1 }, { host: 'cdn', stallAt: 0, times: 1 });
    await expectStream(source);
    expect(held.hub.weightRequests().map(({ range }) => range)).toEqual(['bytes=0-', 'bytes=0-', 'bytes=1234567-']);
  });

  test('progress makes the count of attempts begin anew; without any it ends', async () => {
    const pauses: number[] = [];
    const source = await open({ transferRetries: { attempts: 3 }, onPause: ({ ms }) => pauses.push(ms) });
    for (let i = 1; i <= 8; i++) held.hub.faults.push({ host: 'cdn', cutAt: i * 400_000, times: 1 });
    await expectStream(source);
    expect(pauses.length).toBe(8);
    held.hub.faults.splice(0, Infinity, { host: 'cdn', cutAt: 2_000_000 });
    await expectError(
      () => collect(stream(source)),
      'network',
      /broke off\. Several attempts brought nothing more \(2,000,000 of 4,194,427 bytes had come\)/,
    );
  });

  test('an answer of 5xx or 429 in between is waited out, and an address that ran out is asked for anew', async () => {
    const source = await open();
    held.hub.faults.push(
      { host: 'cdn', cutAt: 1_000_000, times: 1 },
      { path: '/resolve/', status: 503, times: 2 },
      { host: 'cdn', status: 403, times: 1 },
      { path: '/resolve/', status: 429, headers: { 'retry-after': '0' }, times: 1 },
    );
    await expectStream(source);
  });

  test('small files too', async () => {
    const source = await open();
    held.hub.faults.push({ path: 'config.json', cutAt: 5, times: 1 });
    expect((await source.read('config.json')).byteLength).toBe(22);
  });

  test('a host that wants to be left alone for long is told of at once, and as what it is', async () => {
    const source = await open();
    held.hub.faults.push({ path: '/resolve/', status: 429, headers: { 'retry-after': '600' } });
    const before = held.hub.requests.length;
    const error = await source.read('config.json').catch((found: unknown) => found as Error);
    expect((error as Error).message).toMatch(/too many requests from here: try again in 600 seconds[^.]*\.$/);
    expect(held.hub.requests.length).toBe(before + 1);
  });

  test('reads of a source with a signal are stopped by it', async () => {
    const client = quickClient(held.hub, { transferRetries: { firstDelayMs: 1e6, longestDelayMs: 1e6 } });
    await open();
    const controller = new AbortController();
    const source = hubSource(client, await client.model(ID), controller.signal);
    held.hub.faults.push({ path: 'config.json', cutAt: 5 });
    const reading = source.read('config.json');
    setTimeout(() => controller.abort(), 50);
    await expectError(() => reading, 'cancelled', /you asked/);
    await expectError(() => collect(source.stream!('config.json', 0)), 'cancelled', /you asked/);
  });

  test('stopping it stops it at once, also in a pause', async () => {
    const source = await open({ transferRetries: { firstDelayMs: 1e6, longestDelayMs: 1e6 } });
    const controller = new AbortController();
    held.hub.faults.push({ host: 'cdn', cutAt: 1_000_000 });
    const reading = collect(stream(source, 0, controller.signal));
    setTimeout(() => controller.abort(), 300);
    await expectError(() => reading, 'cancelled', /you asked/);
    await expectError(() => collect(stream(source, 0, AbortSignal.abort())), 'cancelled', /you asked/);
  });

  test('whoever takes no more ends the connection', async () => {
    const source = await open();
    // The host waits with the rest, and doesn't end the connection of itself.
    held.hub.faults.push({ host: 'cdn', stallAt: 1_234_567 });
    for await (const piece of stream(source)) {
      expect(piece.byteLength).toBeGreaterThan(0);
      break;
    }
    const [request] = held.hub.weightRequests();
    await expect.poll(() => request!.status).toBe(206);
    expect(held.hub.weightRequests().length).toBe(1);
  });
});

describe('what is not the listed file is refused', () => {
  const refused = (source: FileSource, code: 'bad-file' | 'unsupported', message: RegExp) =>
    expectError(() => collect(stream(source)), code, message);

  test('a short body with status 200', async () => {
    const source = await open();
    held.hub.faults.push({ host: 'cdn', shortTo: 1000 });
    await refused(
      source,
      'bad-file',
      /sent 1,000 bytes for model\.safetensors of org\/tiny, which is listed with 4,194,427/,
    );
  });

  test('a size in the listing that is wrong, either way', async () => {
    for (const wrong of [SIZE - 7, SIZE + 7]) {
      held.hub.add(ID, { [WEIGHTS]: BYTES }, { listedSizes: { [WEIGHTS]: wrong } });
      await refused(await openSource(held.hub, ID), 'bad-file', /sent 4,194,427 bytes .* is listed with 4,194,4/);
    }
    held.hub.faults.push({ host: 'cdn', wholeOnly: true });
    await refused(await openSource(held.hub, ID), 'bad-file', /which is listed with 4,194,434/);
    held.hub.add(ID, { [WEIGHTS]: BYTES }, { listedSizes: { [WEIGHTS]: SIZE - 7 } });
    await refused(await openSource(held.hub, ID), 'bad-file', /which is listed with 4,194,420/);
  });

  test('a range beyond the end, which the host knows better', async () => {
    held.hub.add(ID, { [WEIGHTS]: BYTES }, { listedSizes: { [WEIGHTS]: 2 * SIZE } });
    const source = await openSource(held.hub, ID);
    await expectError(() => source.read(WEIGHTS, SIZE + 10, SIZE + 20), 'bad-file', /fewer bytes .* than are listed/);
  });

  test('a file that changes in mid-transfer', async () => {
    const source = await open();
    held.hub.faults.push({ host: 'cdn', cutAt: 1_000_000, times: 1 });
    const pieces = stream(source)[Symbol.asyncIterator]();
    await pieces.next();
    held.hub.faults.push({ host: 'cdn', etag: '"another"' });
    await expectError(
      async () => {
        while (!(await pieces.next()).done);
      },
      'bad-file',
      /changed .* while it was downloaded/,
    );
  });

  test('a web page in its place', async () => {
    const source = await open();
    held.hub.faults.push({ body: LOGIN_PAGE! });
    await refused(source, 'bad-file', /sent a web page in place of model\.safetensors of org\/tiny: .*sign in/);
    await expectError(() => source.read('config.json'), 'bad-file', /a web page in place of config\.json/);
  });

  test('one bit turned in a file that is read whole, large or small', async () => {
    const source = await open();
    held.hub.faults.push({ flipAt: 3 });
    await expectError(() => source.read('config.json'), 'bad-file', /config\.json of org\/tiny came damaged/);
    await expectError(() => source.read(WEIGHTS), 'bad-file', /model\.safetensors of org\/tiny came damaged/);
  });
});

describe('a server that ignores ranges', () => {
  test('serves the parts near the start, and a cut stream', async () => {
    const source = await open();
    held.hub.faults.push({ host: 'cdn', wholeOnly: true }, { host: 'cdn', cutAt: 3_000_000, times: 1 });
    expect(await source.read(WEIGHTS, 100, 200)).toEqual(BYTES.slice(100, 200));
    await expectStream(source);
  });

  test('is refused where that would be downloading twice', async () => {
    held.hub.add(ID, { [WEIGHTS]: new Uint8Array(17 * 2 ** 20) });
    const source = await openSource(held.hub, ID);
    held.hub.faults.push({ host: 'cdn', wholeOnly: true });
    await expectError(() => source.read(WEIGHTS, 16.5 * 2 ** 20), 'unsupported', /ignores the Range header/);
  });
});

describe('the token', () => {
  test('goes to the Hub and not to where the Hub redirects', async () => {
    held.hub.allow('hf_secret', ID);
    const source = await open({ token: 'hf_secret' });
    await source.read(WEIGHTS, 0, 10);
    await source.read('config.json');
    const by = (host: string) => held.hub.requests.filter((request) => request.host === host);
    expect(by('hub').length).toBeGreaterThan(3);
    for (const { authorization } of by('hub')) expect(authorization).toBe('Bearer hf_secret');
    expect(by('cdn').map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  test('is in no message, also where it can be none', async () => {
    const token = 'hf_sécret';
    const message = await expectError(() => new HubClient({ token }), 'bad-config', /copy it again/);
    expect(message).not.toContain(token);
    expect(quickClient(held.hub, { token: '  ' }).subject('anything').hasSecret).toBe(false);
  });
});
