import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { httpSource, memorySource } from '../../../src/formats/sources';
import { expectError } from './support';

const DATA = Uint8Array.from({ length: 100 }, (_, i) => i);
const closers: (() => void)[] = [];

/** A server of one folder; the handler returns what a path holds, or undefined. */
async function serve(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/tiny`;
}

afterEach(() => closers.splice(0).forEach((close) => close()));

function ranges(request: IncomingMessage, response: ServerResponse): void {
  const body = request.url === '/models/tiny/empty' ? new Uint8Array(0) : DATA;
  if (request.url === '/models/tiny/missing') return void response.writeHead(404).end();
  if (request.url === '/models/tiny/broken') return void response.writeHead(500).end();
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  if (!range) return void response.end(body);
  const start = Number(range[1]);
  if (start >= body.length) return void response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
  const end = Math.min(range[2] ? Number(range[2]) + 1 : body.length, body.length);
  response
    .writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${body.length}` })
    .end(body.subarray(start, end));
}

describe('httpSource', () => {
  it('reads ranges', async () => {
    const source = httpSource(await serve(ranges));
    expect(await source.size('a b')).toBe(100);
    expect([...(await source.read('f', 10, 13))]).toEqual([10, 11, 12]);
    expect([...(await source.read('f', 97))]).toEqual([97, 98, 99]);
    expect(await source.read('f')).toEqual(DATA);
    expect(await source.read('f', 5, 5)).toEqual(new Uint8Array(0));
    expect(await source.size('empty')).toBe(0);
    expect(await source.read('empty')).toEqual(new Uint8Array(0));
  });

  it.each([
    ['ranges', true],
    ['none', false],
  ])('asks once for the size and all of a small file, of a server with %s', async (_, hasRanges) => {
    const asked: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url);
      if (hasRanges) ranges(request, response);
      else response.end(DATA);
    });
    const source = httpSource(url);
    const [size, other] = await Promise.all([source.size('f'), source.size('g')]); // as opening a model asks for them
    expect([size, other]).toEqual([100, 100]);
    expect(await source.read('f')).toEqual(DATA);
    expect([...(await source.read('g', 90))]).toEqual([90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
    expect([...(await source.read('g', 3, 5))]).toEqual([3, 4]);
    expect(asked.sort()).toEqual(['/models/tiny/f', '/models/tiny/g']);
  });

  it('reads what of a large file lies past what came with its size', async () => {
    const large = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
    const asked: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      asked.push(request.headers.range);
      const [, first = 0, last = large.length - 1] = /^bytes=(\d+)-(\d*)$/
        .exec(request.headers.range ?? '')!
        .map(Number);
      const end = Math.min(last || large.length - 1, large.length - 1);
      response
        .writeHead(206, { 'content-range': `bytes ${first}-${end}/${large.length}` })
        .end(large.subarray(first, end + 1));
    });
    const source = httpSource(url);
    expect(await source.size('f')).toBe(300_000);
    expect(await source.read('f', 8, 1000)).toEqual(large.slice(8, 1000));
    expect(asked).toHaveLength(1);
    expect(await source.read('f', 262_000, 262_200)).toEqual(large.slice(262_000, 262_200));
    expect(await source.read('f', 299_999)).toEqual(large.slice(299_999));
    expect(asked.slice(1)).toEqual(['bytes=262000-262199', 'bytes=299999-']);
  });

  it.each([
    ['starts elsewhere', 0, 3],
    ['is shorter', 10, 1],
    ['is longer', 10, 40],
  ])('asks once more where a range %s, and takes no wrong bytes', async (_what, from, length) => {
    let wrong = 1;
    const source = httpSource(
      await serve((request, response) => {
        if (wrong-- <= 0) return ranges(request, response);
        response
          .writeHead(206, { 'content-range': `bytes ${from}-${from + length - 1}/100` })
          .end(DATA.subarray(from, from + length));
      }),
      { name: 'tiny' },
    );
    expect([...(await source.read('f', 10, 13))]).toEqual([10, 11, 12]);
    wrong = 2;
    await expectError(() => source.read('f', 10, 13), 'storage', /tiny answers with another part of f/);
  });

  it('reads a server without ranges, fetching the file once', async () => {
    let requests = 0;
    const source = httpSource(await serve((_, response) => (requests++, void response.end(DATA))));
    expect(await source.size('f')).toBe(100);
    expect([...(await source.read('f', 10, 13))]).toEqual([10, 11, 12]);
    expect(await source.read('f')).toEqual(DATA);
    expect(requests).toBe(1);
  });

  it('takes 404, and the page of a single-page app, for a file that is not there', async () => {
    const page = httpSource(
      await serve((_, response) => void response.setHeader('content-type', 'text/html; charset=utf-8').end('<html>')),
    );
    const plain = httpSource(await serve(ranges), { name: 'tiny' });
    for (const source of [page, plain]) {
      expect(await source.size('missing')).toBeUndefined();
      await expectError(() => source.read('missing'), 'not-found', /has no file missing/);
    }
  });

  it('reports a server that fails, and one that is not there', async () => {
    const source = httpSource(await serve(ranges), { name: 'tiny' });
    await expectError(() => source.read('broken'), 'storage', /tiny answered 500/);
    closers.splice(0).forEach((close) => close());
    await expectError(() => httpSource('http://127.0.0.1:1').size('f'), 'storage', /can't be reached/);
  });

  it('lists only what it was told', async () => {
    const url = await serve((_, response) => void response.end(DATA));
    expect(await httpSource(url, { files: ['f'] }).list()).toEqual(['f']);
    await expectError(() => httpSource(url).list(), 'unsupported', /can't be listed/);
  });
});

describe('memorySource', () => {
  it('reads what it holds', async () => {
    const source = memorySource('m', { f: DATA });
    expect([await source.size('f'), await source.size('g'), await source.size('__proto__')]).toEqual([
      100,
      undefined,
      undefined,
    ]);
    expect([...(await source.read('f', 98))]).toEqual([98, 99]);
    await expectError(() => source.read('g'), 'not-found', /m has no file g/);
  });
});
