/** The Hub client in a real browser, across origins: preflights, redirects, exposed headers, and what it doesn't tell. */
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { build, type Rollup } from 'vite';
import { expect } from 'vitest';
import { test as base } from '../support/browser';
import { StandInHub } from '../support/stand-in-hub';

const ID = 'org/tiny';
const WEIGHTS = Uint8Array.from({ length: 3 * 2 ** 20 + 17 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const WEIGHTS_HASH = createHash('sha256').update(WEIGHTS).digest('hex');
const CONFIG = new TextEncoder().encode('{"model_type": "llama"}');

/** A page of a third origin whose only script is src/hub. */
async function servePage(): Promise<Server> {
  const bundle = (await build({
    configFile: false,
    logLevel: 'warn',
    build: {
      write: false,
      lib: { entry: [resolve('src/hub/client.ts'), resolve('src/hub/source.ts')], formats: ['es'] },
    },
  })) as Rollup.RollupOutput[];
  const modules = new Map(bundle[0]!.output.map((file) => [`/${file.fileName}`, 'code' in file ? file.code : '']));
  const server = createServer(({ url = '/' }, response) => {
    const code = modules.get(url);
    response.setHeader('content-type', code === undefined ? 'text/html' : 'text/javascript');
    response.end(code ?? PAGE);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return server;
}

type Hub = typeof import('../../src/hub/client') & typeof import('../../src/hub/source');

/** Scripts of a test can't import: the page does it for them. */
const PAGE = `<title>a page</title><script type="module">
import * as client from '/client.js';
import * as source from '/source.js';
Object.assign(globalThis, client, source);
</script>`;

interface Fixtures {
  hub: StandInHub;
  pageServer: Server;
  /** Streams the weights in the page with this token: their hash, or what the error says. */
  streamInPage: (token?: string) => Promise<{ hash?: string; code?: string; message?: string }>;
}

const test = base.extend<Fixtures>({
  // eslint-disable-next-line no-empty-pattern -- vitest reads a fixture's dependencies from this pattern
  hub: async ({}, use) => {
    const hub = await StandInHub.start();
    hub.add(ID, { 'config.json': CONFIG, 'model.safetensors': WEIGHTS });
    await use(hub);
    await hub.close();
  },
  // eslint-disable-next-line no-empty-pattern -- as above
  pageServer: async ({}, use) => {
    const server = await servePage();
    await use(server);
    server.close();
  },
  streamInPage: async ({ page, hub, pageServer }, use) => {
    const origin = `http://localhost:${(pageServer.address() as AddressInfo).port}`;
    await page.goto(origin);
    await page.waitForFunction(() => 'HubClient' in globalThis);
    await use((token) =>
      page.evaluate(
        async ({ endpoint, token, id }) => {
          const { HubClient, hubSource } = globalThis as unknown as Hub;
          const retries = { firstDelayMs: 1, longestDelayMs: 4 };
          const client = new HubClient({ endpoint, token, apiRetries: retries, transferRetries: retries });
          try {
            const source = hubSource(client, await client.model(id));
            await source.read('config.json');
            const pieces: Uint8Array<ArrayBuffer>[] = [];
            for await (const piece of source.stream!('model.safetensors', 0)) pieces.push(piece.slice());
            const bytes = await new Blob(pieces).arrayBuffer();
            const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
            return { hash: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') };
          } catch (error) {
            const { code, message } = error as Error & { code: string };
            return { code, message };
          }
        },
        { endpoint: hub.url, token, id: ID },
      ),
    );
  },
});

test('a stream that is cut goes on where it stopped, without preflights', async ({ hub, streamInPage, problems }) => {
  hub.faults.push({ host: 'cdn', cutAt: 1_000_000, times: 1 }, { host: 'cdn', cutAt: 2_500_000, times: 1 });
  expect(await streamInPage()).toEqual({ hash: WEIGHTS_HASH });
  expect(hub.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  const sent = hub.weightRequests().reduce((sum, request) => sum + request.sent, 0);
  // What lay in sockets when a connection was cut is sent again; from the start it would be 3.5 MB more.
  expect(sent - WEIGHTS.byteLength).toBeLessThan(2 * 2 ** 20);
  expect(hub.weightRequests().length).toBe(3);
  problems.length = 0; // the browser logs what was cut
});

test('a token goes to the Hub alone', async ({ hub, streamInPage }) => {
  hub.allow('hf_secret', ID);
  expect(await streamInPage('hf_secret')).toEqual({ hash: WEIGHTS_HASH });
  const carried = hub.requests.filter(({ authorization }) => authorization !== undefined);
  expect(carried.every(({ host }) => host === 'hub')).toBe(true);
  expect(carried.length).toBeGreaterThan(2);
  expect(hub.requests.some(({ method }) => method === 'OPTIONS')).toBe(true);
});

test('what the Hub says about a refusal reaches the page', async ({ hub, streamInPage, problems }) => {
  hub.add(ID, { 'config.json': CONFIG, 'model.safetensors': WEIGHTS }, { gated: 'manual' });
  expect(await streamInPage()).toEqual({
    code: 'no-access',
    message: expect.stringContaining('org/tiny is gated: open'),
  });
  problems.length = 0; // the browser logs the 401
});

test('a host without CORS headers looks like one that is not there, and the message says what to check', async ({
  hub,
  streamInPage,
  problems,
}) => {
  for (const host of ['hub', 'cdn'] as const) {
    hub.faults.splice(0, Infinity, { host, noCors: true });
    const { code, message } = await streamInPage();
    expect([code, message]).toEqual(['network', expect.stringMatching(/can't be reached for .*CORS headers/)]);
  }
  problems.length = 0; // the browser logs each of them
});
