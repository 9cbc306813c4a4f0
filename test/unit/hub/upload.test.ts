/** Files to a Hub on localhost: made, added to, cut at every point, refused. */
import { describe, expect, test } from 'vitest';
import { uploadFiles, type Upload, type UploadEvent } from '../../../src/hub/upload';
import type { Fault, RecordedRequest, StandInHub } from '../../support/stand-in-hub';
import { expectError, quickClient, someBytes, useHub } from './support';

const TOKEN = 'hf_canary_of_the_upload';
const REPO = 'anna/tuned';
const MiB = 2 ** 20;
const held = useHub();

const text = (content: string) => new TextEncoder().encode(content);
/** An adapter in one part, a model in several, and texts. */
const FILES: Record<string, Uint8Array> = {
  'README.md': text('---\nlibrary_name: peft\ntags: [graft]\n---\n# Tuned\n'),
  'adapter_config.json': text('{"r": 8}'),
  'adapter_model.safetensors': someBytes(MiB + 5),
  'model.safetensors': someBytes(5 * MiB + 1).map((byte) => byte ^ 85),
  'empty.safetensors': new Uint8Array(),
};
const PART = 2 * MiB;

function upload(
  hub: StandInHub,
  changes: Partial<Upload> = {},
  onEvent?: (event: UploadEvent) => void,
  signal?: AbortSignal,
) {
  const files = Object.entries(FILES).map(([name, bytes]) => ({
    name,
    blob: new Blob([bytes as Uint8Array<ArrayBuffer>]),
  }));
  const all = { repo: REPO, isPrivate: true, message: 'Upload with Graft', files, ...changes };
  return uploadFiles(quickClient(hub, { token: TOKEN }), all, onEvent, signal);
}

function withAccount(partBytes = PART): StandInHub {
  const { hub } = held;
  hub.uploads.signUp(TOKEN, { name: 'anna', organizations: ['lab'] });
  hub.uploads.partBytes = partBytes;
  return hub;
}

function expectFolder(hub: StandInHub, branch = 'main'): void {
  const there = hub.uploads.files(REPO, branch) ?? {};
  expect(Object.keys(there).sort()).toEqual(Object.keys(FILES).sort());
  for (const [name, bytes] of Object.entries(FILES)) expect(Buffer.compare(there[name]!, bytes), name).toBe(0);
}

/** Requests that brought whole pieces of large files to the storage. */
const puts = (requests: readonly RecordedRequest[]) =>
  requests.filter(({ host, method, status }) => host === 'cdn' && method === 'PUT' && status === 200);

function expectNoTokenOutside(hub: StandInHub): void {
  const storage = hub.requests.filter(({ host }) => host === 'cdn');
  expect(storage.length).toBeGreaterThan(0);
  expect(JSON.stringify(storage)).not.toContain(TOKEN);
  for (const { path, authorization } of hub.requests) {
    expect(path).not.toContain(TOKEN);
    if (path.includes('complete_multipart')) expect(authorization).toBeUndefined();
  }
}

test('a folder becomes a private repository, byte for byte, in one commit', async () => {
  const hub = withAccount();
  const events: UploadEvent[] = [];
  const result = await upload(hub, { message: 'The first' }, (event) => events.push(event));
  expect(result).toMatchObject({ repo: REPO, created: true, isPrivate: true, stored: [], ignored: [] });
  expect([...result.committed].sort()).toEqual(Object.keys(FILES).sort());
  expect(hub.uploads.isPrivate(REPO)).toBe(true);
  expect(hub.uploads.commits(REPO)).toEqual([{ branch: 'main', summary: 'The first', files: [...result.committed] }]);
  expectFolder(hub);
  expectNoTokenOutside(hub);
  // One address for the adapter, three parts for the model, none for the empty file.
  expect(puts(hub.requests).map(({ received }) => received)).toEqual([MiB + 5, PART, PART, MiB + 1]);
  const sending = events.filter((event) => event.kind === 'sending');
  const total = 6 * MiB + 6;
  expect(sending.every((event, i) => event.total === total && event.done >= (sending[i - 1]?.done ?? 0))).toBe(true);
  expect(sending.at(-1)!.done).toBe(total);
  expect(sending.length).toBeGreaterThan(12); // on the way too
});

test('what a repository has is not sent again, and a commit without changes is not made', async () => {
  const hub = withAccount();
  await upload(hub);
  const count = hub.requests.length;
  expect(await upload(hub)).toMatchObject({ created: false, committed: [], stored: [] });
  expect(hub.requests.slice(count).map(({ method }) => method)).toEqual(['GET']);
  const changed = { name: 'adapter_config.json', blob: new Blob(['{"r": 9}']) };
  const renamed = { name: 'copy.safetensors', blob: new Blob([FILES['model.safetensors'] as Uint8Array<ArrayBuffer>]) };
  const files = [changed, renamed];
  expect(await upload(hub, { files })).toMatchObject({
    committed: ['adapter_config.json', 'copy.safetensors'],
    stored: ['copy.safetensors'],
  });
  expect(puts(hub.requests.slice(count))).toEqual([]);
  expect(Buffer.from(hub.uploads.files(REPO)!['adapter_config.json']!).toString()).toBe('{"r": 9}');
  expect(hub.uploads.commits(REPO)).toHaveLength(2);
});

test('a branch is made and written to, and main stays as it is', async () => {
  const hub = withAccount();
  hub.uploads.create(REPO, false);
  const result = await upload(hub, { branch: 'v2' });
  expect(result).toMatchObject({ created: false, isPrivate: false });
  expectFolder(hub, 'v2');
  expect(hub.uploads.files(REPO)).toEqual({});
});

test('two files of the same bytes are one object, and a .gitignore is heeded and told of', async () => {
  const hub = withAccount();
  hub.uploads.ignored.add('notes.md');
  const bytes = FILES['model.safetensors'] as Uint8Array<ArrayBuffer>;
  const files = ['a.safetensors', 'b.safetensors', 'notes.md'].map((name) => ({ name, blob: new Blob([bytes]) }));
  const result = await upload(hub, { files });
  expect(result).toMatchObject({ committed: ['a.safetensors', 'b.safetensors'], ignored: ['notes.md'] });
  expect(puts(hub.requests)).toHaveLength(3);
});

/** Where an upload is cut: which request, and when in it. */
const CUTS: readonly (readonly [where: string, fault: Fault])[] = [
  ['before the repository is made', { path: '/api/repos/create', cutAfter: 0 }],
  ['after it is made, before the answer', { path: '/api/repos/create', unanswered: true }],
  ['in the middle of preupload', { path: '/preupload/', cutAfter: 20 }],
  ['in the middle of the batch', { path: '/objects/batch', cutAfter: 20 }],
  ['after the batch, before the answer', { path: '/objects/batch', unanswered: true }],
  ['in the middle of the first large file', { host: 'cdn', method: 'PUT', cutAfter: MiB / 2 }],
  ['after the first large file, before the answer', { host: 'cdn', method: 'PUT', unanswered: true }],
  ['before it is asked whether the first came', { path: '/lfs/verify', cutAfter: 0 }],
  ['between two parts', { host: 'cdn', path: '/2?', cutAfter: 0 }],
  ['in the middle of the last part', { host: 'cdn', path: '/3?', cutAfter: MiB / 2 }],
  ['as the parts are joined', { path: '/complete_multipart', unanswered: true }],
  ['at the beginning of the commit', { path: '/commit/', cutAfter: 0 }],
  ['after the commit, before the answer', { path: '/commit/', unanswered: true }],
];

describe.each(CUTS)('cut %s', (_, fault) => {
  test('once, it goes on by itself', async () => {
    const hub = withAccount();
    hub.faults.push({ ...fault, times: 1 });
    const result = await upload(hub);
    expect(hub.faults[0]!.times).toBe(0);
    expectFolder(hub);
    expect(hub.uploads.commits(REPO)).toHaveLength(1);
    expect(hub.uploads.isPrivate(REPO)).toBe(true);
    expect(result.commit).toMatch(/^[0-9a-f]{40}$/);
    expect(puts(hub.requests)).toHaveLength(4); // every piece once, as far as it was answered
    expectNoTokenOutside(hub);
  });

  test('for good, the same call afterwards ends it, and sends no large file again that had come', async () => {
    const hub = withAccount();
    hub.faults.push({ ...fault });
    // What the Hub has done shows without an answer: then nothing is left to do again.
    const isSeen = fault.unanswered && /create|commit/.test(fault.path ?? '');
    if (isSeen) await upload(hub);
    else await expectError(() => upload(hub), 'network', /can't be reached/);
    const before = hub.requests.length;
    hub.faults.length = 0;
    await upload(hub);
    expectFolder(hub);
    expect(hub.uploads.commits(REPO)).toHaveLength(1);
    const whole = hub.requests
      .slice(0, before)
      .filter(({ path, status }) => path.includes('/lfs/verify') && status === 200);
    const again = puts(hub.requests.slice(before)).length;
    expect(again).toBe([4, 3, 0][new Set(whole).size]);
    expectNoTokenOutside(hub);
  });
});

test('it stops when asked to, and the same call goes on', async () => {
  const hub = withAccount();
  const stop = new AbortController();
  const onEvent = (event: UploadEvent) => {
    if (event.kind === 'sending' && event.done > 3 * MiB) stop.abort();
  };
  await expectError(() => upload(hub, {}, onEvent, stop.signal), 'cancelled', /asked/);
  expect(hub.uploads.commits(REPO)).toHaveLength(0);
  await upload(hub);
  expectFolder(hub);
});

test('addresses that have run out are asked for anew', async () => {
  const hub = withAccount();
  hub.faults.push({ host: 'cdn', path: '/2?', status: 403, times: 1 });
  await upload(hub);
  expectFolder(hub);
  expect(hub.requests.filter(({ path }) => path.includes('/objects/batch'))).toHaveLength(2);
});

test('a Hub that is overloaded is left alone for as long as it asks', async () => {
  const hub = withAccount();
  const headers = { 'retry-after': '1' };
  hub.faults.push(
    { path: '/commit/', status: 503, headers, times: 1 },
    { path: '/preupload/', status: 429, headers, times: 1 },
  );
  const pauses: number[] = [];
  const client = quickClient(hub, { token: TOKEN, onPause: ({ ms }) => pauses.push(ms) });
  const files = [{ name: 'adapter_config.json', blob: new Blob(['{}']) }];
  await uploadFiles(client, { repo: REPO, isPrivate: true, message: 'm', files });
  expect(pauses).toHaveLength(2);
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(1000);
});

test('a commit that another one came before is made on top of it', async () => {
  const hub = withAccount();
  hub.faults.push({ path: '/commit/', status: 412, times: 1 });
  await upload(hub);
  expectFolder(hub);
});

describe('a refusal says what to do:', () => {
  const says = (reason: string) => ({ 'x-error-message': reason });
  const refused = async (fault: Fault, code: Parameters<typeof expectError>[1], message: RegExp): Promise<void> => {
    const hub = withAccount();
    hub.faults.push(fault);
    const told = await expectError(() => upload(hub), code, message);
    expect(told).not.toContain(TOKEN);
  };

  test('no token', async () => {
    const { hub } = held;
    const call = () => uploadFiles(quickClient(hub), { repo: REPO, isPrivate: true, message: 'm', files: [] });
    await expectError(
      call,
      'no-access',
      /^Nothing can be uploaded to anna\/tuned without a token: make one with write access at http.*\/settings\/tokens\.$/,
    );
    expect(hub.requests).toEqual([]);
  });

  test('a token that the Hub refuses', async () => {
    const { hub } = held;
    await expectError(
      () => upload(hub),
      'no-access',
      /doesn't accept the token: it may be mistyped, expired or revoked/,
    );
  });

  test('a token that may only read', async () => {
    const { hub } = held;
    hub.uploads.signUp(TOKEN, { name: 'anna', role: 'read' });
    await expectError(() => upload(hub), 'no-access', /^The token may only read: make one with write access at/);
    hub.uploads.create(REPO, true);
    await expectError(() => upload(hub), 'no-access', /^The token may only read: make one with write access at/);
  });

  test('a fine-grained token without this repository', () =>
    refused(
      { path: '/commit/', status: 403, headers: says('Not in scope') },
      'no-access',
      /^The token may not write to anna\/tuned \("Not in scope"\): give it write access to the repositories of anna/,
    ));

  test("somebody else's name, whether there is such a repository or not", async () => {
    const hub = withAccount();
    const theirs =
      /^zoe\/tuned belongs to zoe, where the token's account, anna, may not write: name a repository of its own, such as anna\/tuned\.$/;
    await expectError(() => upload(hub, { repo: 'zoe/tuned' }), 'no-access', theirs);
    hub.uploads.create('zoe/tuned', false);
    await expectError(() => upload(hub, { repo: 'zoe/tuned' }), 'no-access', theirs);
    expect(puts(hub.requests)).toEqual([]);
  });

  test('a name that is taken by what the token may not see', () =>
    refused(
      { path: '/api/repos/create', status: 409 },
      'no-access',
      /^The name anna\/tuned is taken on .*: choose another name/,
    ));

  const full = /has no room for .*"Private storage limit reached".*: delete what isn't needed/;
  test.each(['/preupload/', '/objects/batch', '/commit/'])('no room left, which %s says', (path) =>
    refused({ path, status: 403, headers: says('Private storage limit reached') }, 'storage', full),
  );

  test('no room left, which the batch says of a file', async () => {
    const hub = withAccount();
    hub.uploads.isFull = true;
    await expectError(() => upload(hub), 'storage', full);
    expect(puts(hub.requests)).toEqual([]);
  });

  test('a file that is too large', () =>
    refused(
      { host: 'cdn', method: 'PUT', status: 413 },
      'unsupported',
      /^adapter_model.safetensors is too large for 127/,
    ));

  test('a branch that is protected', () =>
    refused(
      { path: '/commit/', status: 403, headers: says('Branch is protected') },
      'no-access',
      /^The branch main of anna\/tuned is protected/,
    ));

  test('a card that the Hub would not take, before anything large is sent', async () => {
    const hub = withAccount();
    const files = [
      { name: 'README.md', blob: new Blob(['---\nbase_model: /home/anna/model\n---\n']) },
      { name: 'model.safetensors', blob: new Blob([FILES['model.safetensors'] as Uint8Array<ArrayBuffer>]) },
    ];
    await expectError(
      () => upload(hub, { files }),
      'bad-file',
      /refuses the front matter of README.md: "base_model" is no id/,
    );
    expect(puts(hub.requests)).toEqual([]);
  });

  test('a Hub that makes public what was to be private gets nothing', async () => {
    const hub = withAccount();
    hub.uploads.ignoresPrivacy = true;
    await expectError(
      () => upload(hub),
      'no-access',
      /made anna\/tuned public, though a private repository was asked for: nothing was uploaded/,
    );
    expect(hub.uploads.files(REPO)).toEqual({});
  });
});
