import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HubClient, type HubClientOptions } from '../../../src/hub/client';
import { isRepoId, parseModelName } from '../../../src/hub/names';
import { retryAfterMs } from '../../../src/connections/retry-after';
import { LOGIN_PAGE } from '../../support/stand-in-hub';
import { expectError, jsonBytes, quickClient, someBytes, useHub } from './support';

const CONFIG = jsonBytes({ model_type: 'llama', architectures: ['LlamaForCausalLM'] });
const held = useHub();
const client = (options?: HubClientOptions) => quickClient(held.hub, options);

describe('a model', () => {
  test('is its files at the commit of the revision, with sizes and hashes', async () => {
    const files = { 'config.json': CONFIG, 'model.safetensors': someBytes(5000) };
    const added = held.hub.add('org/tiny', files, { revisions: ['refs/pr/1'], parameters: 1250, likes: 3 });
    for (const revision of ['main', 'refs/pr/1', added.commit]) {
      const model = await client().model('org/tiny', revision);
      expect(model).toMatchObject({
        id: 'org/tiny',
        revision,
        commit: added.commit,
        gated: false,
        private: false,
        likes: 3,
        modelType: 'llama',
        architectures: ['LlamaForCausalLM'],
        parameters: 1250,
        licence: 'apache-2.0',
      });
      expect([...model.files.values()]).toEqual([
        { name: 'config.json', size: CONFIG.byteLength, blobId: expect.stringMatching(/^[0-9a-f]{40}$/) },
        { name: 'model.safetensors', size: 5000, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      ]);
    }
    expect(held.hub.requests.length).toBe(3);
  });

  test('under a path of a mirror', async () => {
    const asked: string[] = [];
    const through = new HubClient({
      endpoint: 'https://mirror.example/hf/',
      fetch: (input) => {
        asked.push(input as string);
        return Promise.resolve(Response.json([]));
      },
    });
    expect(await through.search('x')).toEqual([]);
    expect(asked[0]).toMatch(/^https:\/\/mirror\.example\/hf\/api\/models\?search=x&/);
  });
});

test('a search gives what a list needs, the most downloaded first', async () => {
  held.hub.add('org/tiny-b', { 'config.json': CONFIG }, { downloads: 5, gated: 'manual' });
  held.hub.add('org/tiny-a', {}, { downloads: 50, likes: 2, parameters: 135_000_000 });
  held.hub.add('org/tiny-c', {}, { downloads: 1 });
  held.hub.add('org/other', {}, { downloads: 1000 });
  held.hub.add('org/tiny-own', {}, { private: true });
  expect(await client().search('tiny', 2)).toEqual([
    {
      id: 'org/tiny-a',
      downloads: 50,
      likes: 2,
      gated: false,
      private: false,
      modelType: undefined,
      architectures: [],
      parameters: 135_000_000,
      licence: 'apache-2.0',
    },
    expect.objectContaining({ id: 'org/tiny-b', gated: 'manual', modelType: 'llama', parameters: undefined }),
  ]);
  expect(held.hub.requests[0]!.path).toContain('filter=text-generation&filter=safetensors&sort=downloads');
});

describe('who may not read it is told why', () => {
  test('no such model, and a private one, look the same without a token', async () => {
    held.hub.add('org/own', {}, { private: true });
    for (const id of ['org/own', 'org/none'])
      await expectError(() => client().model(id), 'not-found', /has no public model org\/(own|none): .* token/);
    held.hub.allow('hf_other');
    held.hub.allow('hf_owner', 'org/own');
    const hidden = /has no model org\/own that the token may see/;
    await expectError(() => client({ token: 'hf_other' }).model('org/own'), 'not-found', hidden);
    expect((await client({ token: 'hf_owner' }).model('org/own')).private).toBe(true);
  });

  test('a token that is none', async () => {
    held.hub.add('org/tiny', {});
    const message = /doesn't accept the token: .*\/settings\/tokens/;
    const text = await expectError(() => client({ token: 'hf_bad' }).model('org/tiny'), 'no-access', message);
    expect(text).not.toContain('hf_bad');
  });

  test('a gated model: its list is there for all, its files for those who were let in', async () => {
    const { hubSource } = await import('../../../src/hub/source');
    held.hub.add('org/gated', { 'config.json': CONFIG }, { gated: 'manual' });
    held.hub.allow('hf_other');
    held.hub.allow('hf_in', 'org/gated');
    const read = async (options?: HubClientOptions) => {
      const model = await client(options).model('org/gated');
      expect(model.gated).toBe('manual');
      return hubSource(client(options), model).read('config.json');
    };
    await expectError(() => read(), 'no-access', /is gated: open http.*\/org\/gated, sign in and accept its terms/);
    await expectError(() => read({ token: 'hf_other' }), 'no-access', /token may not read org\/gated.*\/org\/gated/);
    expect(await read({ token: 'hf_in' })).toEqual(CONFIG);
  });

  test('a disabled model, and a refusal of another kind', async () => {
    held.hub.add('org/off', {}, { disabled: true });
    await expectError(() => client().model('org/off'), 'no-access', /has disabled org\/off/);
    held.hub.faults.push({ status: 403, headers: { 'x-error-message': 'Not from your country' } });
    await expectError(() => client().model('org/off'), 'no-access', /refuses .*Not from your country/);
  });
});

describe('what is not there is named', () => {
  test('revision and file', async () => {
    held.hub.add('org/tiny', { 'config.json': CONFIG });
    await expectError(() => client().model('org/tiny', 'v9'), 'not-found', /org\/tiny has no revision v9/);
    const { hubSource } = await import('../../../src/hub/source');
    const model = await client().model('org/tiny');
    const files = new Map([['gone.json', { name: 'gone.json', size: 9 }]]);
    const source = hubSource(client(), { ...model, files });
    await expectError(() => source.read('gone.json'), 'not-found', /org\/tiny has no file gone\.json/);
  });

  test('also by a mirror that gives no code', async () => {
    held.hub.faults.push({ status: 404 });
    await expectError(() => client().model('org/tiny'), 'not-found', /has no revision main/);
    await expectError(() => client().search('x'), 'not-found', /has no list of models/);
  });
});

describe('a host in trouble', () => {
  test('is asked again after 5xx and 429, and after as long as it wants', async () => {
    held.hub.add('org/tiny', {});
    const pauses: string[] = [];
    held.hub.faults.push({ status: 502, times: 1 }, { status: 429, headers: { ratelimit: '"api";r=0;t=0' }, times: 1 });
    const model = await client({ onPause: ({ reason }) => pauses.push(reason) }).model('org/tiny');
    expect(model.id).toBe('org/tiny');
    expect(pauses).toEqual([expect.stringContaining('has a problem'), expect.stringContaining('too many requests')]);
  });

  test('and is given up after some attempts', async () => {
    held.hub.faults.push({ status: 500 });
    await expectError(() => client().model('org/tiny'), 'network', /has a problem \(it answered 500/);
    expect(held.hub.requests.length).toBe(3);
  });

  test('that wants a long wait is named with it, at once', async () => {
    held.hub.faults.push({ status: 429, headers: { 'retry-after': '3600' } });
    await expectError(() => client().model('org/tiny'), 'network', /again in 3,600 seconds; with a token/);
    expect(held.hub.requests.length).toBe(1);
  });

  test('that sends nothing is given up too', async () => {
    held.hub.add('org/tiny', { 'config.json': someBytes(100) });
    const silent: typeof fetch = (_, init) =>
      new Promise((_, refuse) => init!.signal!.addEventListener('abort', () => refuse(new Error('aborted'))));
    await expectError(
      () => client({ fetch: silent, stallMs: 20 }).model('org/tiny'),
      'network',
      /sent nothing for 1 second in the middle of the files of org\/tiny/,
    );
  });

  test('that is not there, or sends no CORS header, gets what to check', async () => {
    const nowhere = { endpoint: 'http://127.0.0.1:1' };
    await expectError(() => client(nowhere).model('org/tiny'), 'network', /127\.0\.0\.1:1 can't be reached.*CORS/);
    const refused: typeof fetch = () => Promise.reject(new TypeError('Failed to fetch'));
    await expectError(
      () => client({ endpoint: 'https://huggingface.co', fetch: refused }).search('x'),
      'network',
      /huggingface\.co can't be reached.*firewall/,
    );
  });
});

describe('an answer that no Hub gives is refused', () => {
  test('a login page', async () => {
    held.hub.faults.push({ body: LOGIN_PAGE! });
    await expectError(
      () => client().model('org/tiny'),
      'bad-file',
      /sent a web page in place of the files of org\/tiny/,
    );
  });

  const commit = 'a'.repeat(40);
  const repo = { id: 'org/tiny', sha: commit, siblings: [] as object[] };
  const cases: [name: string, answer: unknown, why: RegExp][] = [
    ['no JSON', undefined, /it is not JSON/],
    ['a list', [], /should be/],
    ['no commit', { ...repo, sha: 'main' }, /sha should be 40 hex digits/],
    ['another name', { ...repo, id: '../../x' }, /id should be a name such as org\/name/],
    ['a size below 0', { ...repo, siblings: [{ rfilename: 'a', size: -1 }] }, /siblings\.0\.size should be/],
    ['an absurd size', { ...repo, siblings: [{ rfilename: 'a', size: 1e300 }] }, /siblings\.0\.size should be/],
    ['a name that is none', { ...repo, siblings: [{ rfilename: '..', size: 1 }] }, /"\.\." is no name of a file/],
    ['a name of two lines', { ...repo, siblings: [{ rfilename: 'a\nb', size: 1 }] }, /is no name of a file/],
    ['half a character', { ...repo, siblings: [{ rfilename: 'a\ud800', size: 1 }] }, /is no name of a file/],
    ['no size', { ...repo, siblings: [{ rfilename: 'a' }] }, /no size is given for a/],
    [
      'two sizes',
      { ...repo, siblings: [{ rfilename: 'a', size: 1, lfs: { sha256: 'b'.repeat(64), size: 2 } }] },
      /two sizes/,
    ],
    ['no hash', { ...repo, siblings: [{ rfilename: 'a', size: 1, lfs: { sha256: 'x' } }] }, /64 hex digits/],
  ];
  for (const [name, answer, why] of cases) {
    test(name, async () => {
      const text = answer === undefined ? '{"id":' : JSON.stringify(answer);
      held.hub.faults.push({ body: { type: 'application/json', text } });
      await expectError(() => client().model('org/tiny'), 'bad-file', why);
    });
  }

  test('whatever it sends, the outcome is a list or a GraftError', async () => {
    const keys = ['id', 'sha', 'siblings', 'rfilename', 'size', 'lfs', 'gated', 'config', 'safetensors', '__proto__'];
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom('org/tiny', commit, 'auto', 0, -1, 1e99, null, true),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...keys), tie('any'), { maxKeys: 5 }),
      ),
    })).any;
    await fc.assert(
      fc.asyncProperty(value, async (answer) => {
        const own = new HubClient({ fetch: () => Promise.resolve(Response.json(answer)) });
        for (const ask of [() => own.model('org/tiny'), () => own.search('x')])
          await ask().catch((error: Error) => expect(error.name).toMatch(/^Graft:bad-/));
      }),
    );
  });

  test('one without end', async () => {
    const endless = new ReadableStream<Uint8Array>({ pull: (sink) => sink.enqueue(new Uint8Array(2 ** 20).fill(32)) });
    const own = new HubClient({ fetch: () => Promise.resolve(new Response(endless)) });
    await expectError(() => own.search('x'), 'bad-file', /it is too long/);
  });
});

describe('names are checked before they reach a URL', () => {
  test('repositories', () => {
    const good = ['org/name', 'HuggingFaceTB/SmolLM2-135M-Instruct', 'Qwen/Qwen2.5-0.5B', '0-hero/a_b.c'];
    expect(good.filter(isRepoId)).toEqual(good);
    const bad = [
      'name',
      'a/b/c',
      '../x',
      'a/..',
      './a',
      'a/b?c',
      'a/b#c',
      'a b/c',
      'a/b--c',
      'a/b..c',
      'a/b.git',
      '/a',
      'a/',
      'a/b@c',
    ];
    expect(bad.filter(isRepoId)).toEqual([]);
    expect(isRepoId(`${'a'.repeat(97)}/b`)).toBe(false);
  });

  test('with a revision behind an @', () => {
    expect(parseModelName('org/name')).toEqual({ repo: 'org/name' });
    expect(parseModelName('org/name@refs/pr/1')).toEqual({ repo: 'org/name', revision: 'refs/pr/1' });
    expect(parseModelName('starter')).toBeUndefined();
    expect(parseModelName('./folder/name@2')).toBeUndefined();
  });

  test('revisions, endpoints and names that can be none make no request', async () => {
    for (const revision of ['', '..', '../../x', 'a..b', 'a b', 'a~1', 'a\nb', '-x', '.x', 'a//b', 'x'.repeat(256)])
      await expectError(() => client().model('org/tiny', revision), 'bad-config', /is no revision/);
    await expectError(() => client().model('org/../x'), 'bad-config', /is no name of a model/);
    for (const endpoint of ['hub', 'ftp://x', 'https://user:secret@hub.example', 'https://hub.example/?a=b'])
      await expectError(() => new HubClient({ endpoint }), 'bad-config', /is no address of a Hub/);
    expect(held.hub.requests).toEqual([]);
  });
});

test('how long to wait, in seconds, as a date, or as the Hub says it', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const wait = (headers: Record<string, string>) => retryAfterMs(new Headers(headers), now);
  expect(wait({ 'retry-after': '120' })).toBe(120_000);
  expect(wait({ 'retry-after': 'Thu, 01 Jan 2026 00:01:30 GMT' })).toBe(90_000);
  expect(wait({ 'retry-after': 'Thu, 01 Jan 2025 00:00:00 GMT' })).toBe(0);
  expect(wait({ ratelimit: '"resolvers";r=0;t=55' })).toBe(55_000);
  expect(wait({ 'retry-after': '7', ratelimit: '"api";r=0;t=55' })).toBe(7000);
  for (const odd of ['-1', '1e9', 'soon', '99999999999', '']) expect(wait({ 'retry-after': odd })).toBeUndefined();
  expect(wait({})).toBeUndefined();
});
