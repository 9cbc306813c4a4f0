/** Secrets as canaries: after a session with many hosts, which of them has seen which secret? */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Secrets } from '../../../src/connections/secrets';
import { HubClient } from '../../../src/hub/client';
import { hubSource } from '../../../src/hub/source';
import { RecordingHost, redirectTo } from '../../support/recording-host';
import { StandInHub } from '../../support/stand-in-hub';
import { runHere as graft } from '../cli/support';
import { tinyModel } from '../recipes/support';
import { quickClient, useHosts } from './support';

const CANARY = 'canary_';
const startHost = useHosts();
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'graft-canary-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

/** Of the hosts by name, who has seen which canaries, in addresses, headers or bodies. */
function canariesSeen(hosts: Record<string, RecordingHost>, canaries: readonly string[]): Record<string, string[]> {
  const seen = (host: RecordingHost) => canaries.filter((canary) => host.countRequestsWith(canary) > 0);
  return Object.fromEntries(Object.entries(hosts).map(([name, host]) => [name, seen(host)]));
}

test('two Hubs, a mirror, an endpoint and a host that is redirected to: each sees its own secret, and no other', async () => {
  const commit = 'a'.repeat(40);
  const model = {
    id: 'org/tiny',
    sha: commit,
    siblings: [{ rfilename: 'w.bin', size: 4, lfs: { sha256: 'b'.repeat(64) } }],
  };
  const third = await startHost((_, response) => void response.end('1234'));
  /** A Hub whose files are elsewhere; the address of them has a signature in it, as the real one's has. */
  const startHub = () =>
    startHost((request, response) => {
      if (request.path.includes('/resolve/')) return redirectTo(`${third.url}/file?signature=x`)(request, response);
      response.end(JSON.stringify(request.path.includes('?search=') ? [] : model));
    });
  const [first, second, mirror] = [await startHub(), await startHub(), await startHub()];
  const endpoint = await startHost(({ path }, response) => {
    if (path === '/v1/moved') redirectTo(`${third.url}/v1`, 308)({ method: '', path, headers: {}, body: '' }, response);
    else response.end('{}');
  });
  const refusing = await startHost((_, response) => void response.writeHead(401).end());
  const hosts = { first, second, mirror, endpoint, refusing, third };
  const secrets = new Secrets();
  const own = Object.keys(hosts).filter((name) => name !== 'third');
  for (const name of own) secrets.set(hosts[name as keyof typeof hosts].url, CANARY + name);

  const logged = ['log', 'info', 'warn', 'error', 'debug'].map((level) => vi.spyOn(console, level as 'log'));
  const messages: string[] = [];
  const noteFailure = (error: unknown) => void messages.push(String((error as Error).stack), JSON.stringify(error));
  for (const url of [first.url, second.url, `${mirror.url}/hf`, first.url]) {
    const hub = new HubClient({ endpoint: url, secrets });
    await hub.search('tiny');
    expect((await hubSource(hub, await hub.model('org/tiny')).read('w.bin', 0, 3)).byteLength).toBe(3);
  }
  const service = quickClient(endpoint.url, { secrets });
  await service.json('/v1/chat', service.subject('an answer'), { method: 'POST', body: '{"prompt": "hello"}' });
  const moved = service.json('/v1/moved', service.subject('an answer'), { method: 'POST', body: 'my own text' });
  await moved.catch(noteFailure);
  const refused = quickClient(refusing.url, { secrets });
  await refused.json('/x', refused.subject('an answer')).catch(noteFailure);

  expect(
    canariesSeen(
      hosts,
      own.map((name) => CANARY + name),
    ),
  ).toEqual({
    ...Object.fromEntries(own.map((name) => [name, [CANARY + name]])),
    third: [],
  });
  expect(third.countRequestsWith('my own text')).toBe(0);
  expect(third.countRequestsWith('signature=x')).toBe(4);
  for (const host of Object.values(hosts)) {
    // In one header, and never in an address, a body or what is said of where one comes from.
    for (const { path, body, headers } of host.received) {
      expect(JSON.stringify([path, body, { ...headers, authorization: undefined }])).not.toContain(CANARY);
      expect(headers.referer).toBeUndefined();
    }
  }
  expect(messages.length).toBe(4);
  expect(messages.join('\n')).not.toContain(CANARY);
  for (const spy of logged) expect(spy).not.toHaveBeenCalled();
});

test('a token of the command line is in nothing that it prints or keeps', async () => {
  const hub = await StandInHub.start();
  try {
    const source = await tinyModel();
    const files: Record<string, Uint8Array> = {};
    for (const file of await source.list()) files[file] = await source.read(file);
    hub.add('org/own', files, { private: true });
    hub.allow(`${CANARY}cli`, 'org/own');
    const environment = {
      HF_HOME: root,
      GRAFT_CACHE: join(root, 'graft'),
      HF_ENDPOINT: hub.url,
      HF_TOKEN: `${CANARY}cli`,
    };
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    const planned = await graft('plan', '--model', 'org/own', '--json');
    const missing = await graft('plan', '--model', 'org/none');
    expect([planned.code, missing.code]).toEqual([0, 1]);
    expect(hub.requests.filter(({ authorization }) => authorization === `Bearer ${CANARY}cli`).length).toBeGreaterThan(
      2,
    );
    expect(hub.requests.filter(({ host, authorization }) => host === 'cdn' && authorization !== undefined)).toEqual([]);
    const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => join(root, path));
    const kept = paths.filter((path) => statSync(path).isFile());
    expect(kept.length).toBeGreaterThan(0);
    const texts = [planned.out, planned.err, missing.err, ...kept.map((path) => readFileSync(path, 'latin1'))];
    for (const text of texts) expect(text).not.toContain(CANARY);
  } finally {
    await hub.close();
  }
});
