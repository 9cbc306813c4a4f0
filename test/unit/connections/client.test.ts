import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { checkEndpoint } from '../../../src/connections/endpoint';
import { JobPauses, type Pause } from '../../../src/connections/pauses';
import { Secrets } from '../../../src/connections/secrets';
import { transfer } from '../../../src/connections/transfer';
import { HubClient } from '../../../src/hub/client';
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
  test('has no credentials, query or fragment in it, and the message repeats nothing of what was given', async () => {
    for (const address of [
      'https://user:hf_canary@a.example',
      'https://:hf_canary@a.example',
      'https://hf_canary@a.example',
      'https://a.example/?key=hf_canary',
      'https://a.example?token=hf_canary\n',
      'https://a.example/#hf_canary',
      'user:hf_canary@a.example',
      'https:user:hf_canary@a.example',
      'https:/user:hf_canary@a.example',
      'https:\\\\user:hf_canary@a.example',
      'https://user:hf_canary/x@a.example',
      'ftp://a.example/hf_canary',
      'hf_canary',
    ]) {
      const check = () => checkEndpoint(address, 'a service', 'https://b.example');
      const message = await expectError(check, 'bad-config', /is no address of a service: give a URL such as/);
      expect(message.replace('https://b.example', '')).not.toMatch(/canary|user:|example/);
    }
    expect(checkEndpoint('https://A.example/v1//', 'a service', '')).toBe('https://a.example/v1');
  });

  test('is asked below its path, whatever empty parts stand behind that', async () => {
    for (const end of ['?', '#', '/?', '/#', '?#', '/hf/?#']) {
      const host = await startHost();
      const endpoint = checkEndpoint(host.url + end, 'a service', '');
      const client = quickClient(endpoint);
      await client.json('/api/x', client.subject('an answer'));
      expect(host.received.map(({ path }) => path)).toEqual([end.startsWith('/hf') ? '/hf/api/x' : '/api/x']);
    }
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

test('an answer that is not the gzip that it says it is ends as a stall', { timeout: 10_000 }, async () => {
  const host = await startHost((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end('{"a": 1}');
  });
  const client = quickClient(host.url, { stallMs: 50, apiRetries: { attempts: 2 } });
  await expectError(() => client.json('/x', client.subject('the answer')), 'network', /in the middle of|broke off/);
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

describe('what a host repeats of a secret', () => {
  const repeat = (text: string) => (request: { headers: { authorization?: string } }, response: ServerResponse) => {
    response.writeHead(403, { 'x-error-message': `${text} ${request.headers.authorization}` }).end();
  };
  const ask = async (url: string, secret: string, other = '') => {
    const secrets = new Secrets();
    secrets.set(url, secret);
    secrets.set('https://other.example', other);
    const client = quickClient(url, { secrets });
    return expectError(() => client.json('/x', client.subject('the answer')), 'no-access', /refuses the answer \(/);
  };

  test('is cut from our message, wherever the message ends', async () => {
    const secret = `hf_${'canary'.repeat(5)}`;
    for (let length = 0; length < 60; length++) {
      const host = await startHost(repeat('x'.repeat(length)));
      expect(await ask(host.url, secret)).not.toMatch(/hf_c|canary/);
    }
    const knowing = await startHost(repeat('and hf_other,'));
    expect(await ask(knowing.url, 'hf_own', 'hf_other')).toMatch(/\("and …, Bearer …"\)/);
  });

  test('also where it is quoted from an answer that is none', async () => {
    const host = await startHost(({ headers }, response) => void response.end(String(headers.authorization)));
    const secrets = new Secrets();
    secrets.set(host.url, 'hf_canary_of_some_length');
    const client = quickClient(host.url, { secrets });
    const json = () => client.json('/x', client.subject('the answer'));
    expect(await expectError(json, 'bad-file', /it is not JSON/)).not.toContain('hf_c');
    const hub = new HubClient({ endpoint: host.url, secrets });
    const named = await startHost(({ headers }, response) => {
      const siblings = [{ rfilename: `${'a'.repeat(40)}${headers.authorization}\n`, size: 1 }];
      response.end(JSON.stringify({ id: 'org/tiny', sha: 'a'.repeat(40), siblings }));
    });
    secrets.set(named.url, 'hf_canary_of_some_length');
    const listing = new HubClient({ endpoint: named.url, secrets });
    expect(hub.endpoint).toBe(host.url);
    const message = await expectError(() => listing.model('org/tiny'), 'bad-file', /is no name of a file/);
    expect(message).not.toContain('hf_');
  });
});

describe('an answer that does not end', () => {
  /** Sends a space every so many milliseconds, and no end. */
  const drip = (everyMs: number) => (_: unknown, response: ServerResponse) => {
    const timer = setInterval(() => response.write(' '), everyMs);
    response.on('close', () => clearInterval(timer));
  };

  test('is given up after a while, though something comes all the time', async () => {
    const host = await startHost(drip(10));
    const client = quickClient(host.url, { answerMs: 300 });
    await expectError(() => client.json('/x', client.subject('the list')), 'network', /had not sent all of the list/);
    expect(host.received.length).toBe(1);
  });

  test('counts as stalled where what comes is next to nothing, in a file too', async () => {
    const host = await startHost(drip(10));
    const client = quickClient(host.url, {
      stallMs: 200,
      apiRetries: { attempts: 2 },
      transferRetries: { attempts: 2 },
    });
    const subject = client.subject('the file');
    await expectError(() => client.json('/x', subject), 'network', /in the middle of the file/);
    const read = async () => {
      for await (const piece of transfer(client, { path: '/x', size: 10_000, subject }, 0, 10_000)) void piece;
    };
    await expectError(read, 'network', /Several attempts brought nothing more/);
    expect(host.received.length).toBe(4);
  });

  test('and one that is nested or long beyond reason is refused in a sentence', async () => {
    const answers = ['['.repeat(5e6) + ']'.repeat(5e6), '['.repeat(300) + ']'.repeat(300), '[[]]', '[]', '{}'];
    const host = await startHost((_, response) => void response.end(answers.shift()));
    const hub = new HubClient({ endpoint: host.url });
    const model = (why: RegExp) => expectError(() => hub.model('org/tiny'), 'bad-file', why);
    await model(/it is too long/);
    await model(/more than 256 lists and objects lie in one another/);
    await model(/the whole should be an object, and is a list/);
    await model(/the whole should be an object, and is a list/);
    await model(/id is missing/);
  });
});
