import { describe, expect, test } from 'vitest';
import { checkEndpoint } from '../../../src/connections/endpoint';
import { JobPauses, type Pause } from '../../../src/connections/pauses';
import { Secrets } from '../../../src/connections/secrets';
import { redirectTo } from '../../support/recording-host';
import { expectError } from '../hub/support';
import { quickClient, useHosts } from './support';

const startHost = useHosts();

describe('a secret', () => {
  test('is for one origin: another port, scheme or host has none', () => {
    const secrets = new Secrets();
    secrets.set('https://hub.example/mirror', ' hf_one\n');
    expect(secrets.get('https://hub.example/elsewhere')).toBe('hf_one');
    for (const url of [
      'http://hub.example',
      'https://hub.example:8443',
      'https://www.hub.example',
      'https://hub.example.evil',
    ])
      expect(secrets.get(url)).toBeUndefined();
    secrets.set('https://hub.example', '');
    expect(secrets.get('https://hub.example')).toBeUndefined();
  });

  test('is in no copy and no print of what holds it', () => {
    const secrets = new Secrets();
    secrets.set('https://hub.example', 'hf_one');
    const client = quickClient('https://hub.example', { secrets });
    expect(JSON.stringify([secrets, client])).not.toContain('hf_one');
    expect(JSON.stringify(structuredClone(secrets))).not.toContain('hf_one');
  });

  test('that no header can carry is refused without being repeated', async () => {
    const message = await expectError(() => new Secrets().set('https://a.example', 'a\nb'), 'bad-config', /copy it/);
    expect(message).not.toContain('a\nb');
  });

  test('stays with the origin that it was given for, when that redirects: and does not come back', async () => {
    const third = await startHost(
      (_, response) => void response.writeHead(307, { location: `${first.url}/end` }).end(),
    );
    const first = await startHost(({ path }, response) => {
      if (path === '/end') response.end('{}');
      else redirectTo(`${third.url}/x`)({ method: '', path, headers: {}, body: '' }, response);
    });
    const secrets = new Secrets();
    secrets.set(first.url, 'canary');
    const client = quickClient(first.url, { secrets });
    await client.json('/start', client.subject('an answer'));
    expect(first.received.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      ['/start', 'Bearer canary'],
      ['/end', undefined],
    ]);
    expect(third.received.length).toBe(1);
    expect(third.countRequestsWith('canary')).toBe(0);
  });
});

describe('an endpoint', () => {
  test('has no credentials, query or fragment in it, and the message does not repeat them', async () => {
    for (const address of [
      'https://user:pass-canary@a.example',
      'https://:pass-canary@a.example',
      'https://a.example/?key=pass-canary',
      'https://a.example/#pass-canary',
      'ftp://a.example',
      'a.example',
    ]) {
      const check = () => checkEndpoint(address, 'a service', 'https://a.example');
      const message = await expectError(check, 'bad-config', /is no address of a service: give a URL such as/);
      expect(message).not.toContain('pass-canary');
    }
    expect(checkEndpoint('https://A.example/v1//', 'a service', '')).toBe('https://a.example/v1');
  });

  test('is not left by a path', async () => {
    const [host, other] = [await startHost(), await startHost()];
    const secrets = new Secrets();
    secrets.set(host.url, 'canary');
    const client = quickClient(host.url, { secrets });
    for (const path of [`@${new URL(other.url).host}/x`, '.evil.example/x', 'x'])
      await expect(client.json(path, client.subject('an answer'))).rejects.toThrow(/is no path/);
    expect([host.received, other.received]).toEqual([[], []]);
  });
});

describe('a request that carries something', () => {
  test('is not sent on to where a redirect leads', async () => {
    const third = await startHost();
    const host = await startHost(redirectTo(third.url, 307));
    const client = quickClient(host.url);
    const ask = (sending: object) => client.json('/v1', client.subject('an answer'), sending);
    await expectError(() => ask({ method: 'POST', body: 'a question' }), 'network', /can't be reached/);
    await expectError(() => ask({ headers: { 'x-api-key': 'canary' } }), 'network', /can't be reached/);
    expect(third.received).toEqual([]);
  });

  test('is sent again where it was refused, and not where it may have been heard', async () => {
    const statuses = [429, 503, 200];
    const host = await startHost((_, response) => void response.writeHead(statuses.shift() ?? 200).end('{"a":1}'));
    const client = quickClient(host.url);
    const post = (to = client) => to.json('/v1', to.subject('an answer'), { method: 'POST', body: 'hello' });
    expect(await post()).toEqual({ a: 1 });
    expect(host.received.map(({ body }) => body)).toEqual(['hello', 'hello', 'hello']);
    const cut = await startHost((_, response) => void response.destroy());
    await expectError(() => post(quickClient(cut.url)), 'network', /can't be reached/);
    expect(cut.received.length).toBe(1);
    const bad = await startHost((_, response) => void response.writeHead(502).end());
    await expectError(() => post(quickClient(bad.url)), 'network', /answered 502/);
    expect(bad.received.length).toBe(1);
  });
});

test('a pause is told to the job that waits, by its signal, and else to whoever made the client', async () => {
  const statuses = [503, 503];
  const host = await startHost((_, response) => void response.writeHead(statuses.pop() ?? 200).end('{}'));
  const told: string[] = [];
  const listener = (name: string) => (_: Pause) => void told.push(name);
  const pauses = new JobPauses();
  const client = quickClient(host.url, { pauses, onPause: listener('default') });
  const [first, second] = [new AbortController(), new AbortController()];
  pauses.listen(first.signal, listener('first'));
  pauses.listen(second.signal, listener('second'));
  const ask = (signal?: AbortSignal, by = client) => by.json('/x', by.subject('an answer'), {}, signal);
  await ask(first.signal);
  expect(told.splice(0)).toEqual(['first', 'first']);
  statuses.push(503);
  await ask(second.signal);
  statuses.push(503);
  await ask();
  statuses.push(503);
  await ask(undefined, client.with({ onPause: listener('view') }));
  expect(told).toEqual(['second', 'default', 'view']);
});

test('what a host says of a refusal, in one sentence each', async () => {
  const cases: [number, RegExp][] = [
    [401, /wants a token for the answer/],
    [403, /refuses the answer: it may want a token/],
    [404, /has no answer/],
    [418, /answered 418 for the answer/],
  ];
  for (const [status, sentence] of cases) {
    const host = await startHost((_, response) => void response.writeHead(status).end());
    const client = quickClient(host.url);
    const code = status < 404 ? 'no-access' : status === 404 ? 'not-found' : 'network';
    await expectError(() => client.json('/x', client.subject('the answer')), code, sentence);
  }
});
