/** `graft push` against a Hub on localhost: what arrives, what is said, and with which exit code. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StandInHub } from '../../support/stand-in-hub';
import { someBytes } from '../hub/support';
import { jsonLines, runHere as graft, startGraft } from './support';

const TOKEN = 'hf_canary_of_the_push';
const REPO = 'anna/tuned';
const MiB = 2 ** 20;
let root: string;
let hub: StandInHub;
const path = (...names: string[]) => join(root, ...names);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-push-'));
  hub = await StandInHub.start();
  hub.uploads.signUp(TOKEN, { name: 'anna' });
  vi.stubEnv('HF_HOME', root);
  vi.stubEnv('HF_ENDPOINT', hub.url);
  vi.stubEnv('HF_TOKEN', TOKEN);
  mkdirSync(path('out', 'logs'), { recursive: true });
  for (const [name, content] of Object.entries(FOLDER)) writeFileSync(path('out', name), content);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

const WEIGHTS = someBytes(3 * MiB + 7);
const FOLDER = {
  'README.md': '---\nbase_model: org/tiny\nlibrary_name: peft\ntags: [graft]\n---\n# Tuned\n',
  'adapter_config.json': '{"base_model_name_or_path": "org/tiny"}',
  'adapter_model.safetensors': WEIGHTS,
  'graft.json': '{}',
  'trainer_state.json': '{}',
};
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('a folder is pushed to a private repository, and all that is left out is named', async () => {
  hub.add('org/tiny', { 'config.json': new TextEncoder().encode('{}') });
  const { code, out, err } = await graft('push', path('out'), REPO, '--message', 'First');
  expect([code, out], err).toEqual([0, `${hub.url}/${REPO}\n`]);
  expect(err).toContain('Left out, as no part of the result: graft.json, logs/, trainer_state.json\n');
  expect(err).toContain(`${REPO} is made, private.\n`);
  expect(err).toContain('base_model_relation is adapter; license is apache-2.0.\n');
  expect(err).toMatch(/anna\/tuned has 3 new files, commit [0-9a-f]{8}\.\n/);
  const there = hub.uploads.files(REPO)!;
  expect(Object.keys(there).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
  expect(sha(there['adapter_model.safetensors']!)).toBe(sha(WEIGHTS));
  expect(Buffer.from(there['README.md']!).toString()).toBe(
    '---\nbase_model: org/tiny\nlibrary_name: peft\ntags: [ graft ]\nbase_model_relation: adapter\nlicense: apache-2.0\n---\n# Tuned\n',
  );
  expect(hub.uploads.commits(REPO)).toMatchObject([{ branch: 'main', summary: 'First' }]);

  const again = await graft('push', path('out'), REPO, '--json');
  expect(again.code).toBe(0);
  expect(jsonLines(again.out)).toEqual([
    {
      ...{ kind: 'summary', repo: REPO, revision: 'main', url: `${hub.url}/${REPO}`, private: true, created: false },
      ...{ commit: expect.stringMatching(/^[0-9a-f]{40}$/), files: [], stored: [] },
      left_out: ['graft.json', 'logs/', 'trainer_state.json'],
    },
  ]);
  expect(err + again.err + again.out).not.toContain(TOKEN);
});

test('--public and --revision do what they say, and a public repository is told of', async () => {
  const first = await graft('push', path('out'), REPO, '--public', '--revision', 'v2', '--commit-message', 'Second');
  expect([first.code, first.out], first.err).toEqual([0, `${hub.url}/${REPO}/tree/v2\n`]);
  expect(hub.uploads.isPrivate(REPO)).toBe(false);
  expect(hub.uploads.files(REPO)).toEqual({});
  expect(Object.keys(hub.uploads.files(REPO, 'v2')!)).toHaveLength(3);
  const { err } = await graft('push', path('out'), REPO);
  expect(err).toContain('is there already, and public: everyone can read what is added.');
});

test('a GGUF file goes with its card, and with all its parts', async () => {
  const names = ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'];
  for (const name of names) writeFileSync(path(name), someBytes(1000));
  writeFileSync(path('m-00001-of-00002.md'), '---\ntags: [graft]\nlibrary_name: gguf\nlicense: mit\n---\n');
  expect((await graft('push', path(names[0]!), REPO)).code).toBe(0);
  expect(Object.keys(hub.uploads.files(REPO)!).sort()).toEqual(['README.md', ...names]);
});

test.each<[string, string[], RegExp]>([
  ['nothing', [], /Name the folder or the GGUF file, and the repository/],
  ['no repository', ['out'], /Name the folder or the GGUF file, and the repository/],
  ['no name of one', ['out', 'tuned'], /"tuned" is no name of a model on the Hub: write it as org\/name/],
  ['no name of a branch', ['out', REPO, '--revision', 'a b'], /is no revision/],
  ['a commit', ['out', REPO, '--revision', 'a'.repeat(40)], /names a commit, which nothing can be added to/],
  ['two messages', ['out', REPO, '--message', 'a', '--commit-message', 'b'], /are the same: give one/],
])('a call with %s is a wrong one', async (_, [folder, ...rest], message) => {
  const { code, err } = await graft('push', ...(folder === undefined ? [] : [path(folder)]), ...rest);
  expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  expect(hub.requests).toEqual([]);
});

test('what cannot be pushed ends with 1 and one sentence', async () => {
  mkdirSync(path('empty'));
  const failed = async (message: RegExp, ...argv: string[]) => {
    const { code, out, err } = await graft('push', ...argv);
    expect([code, out, err.trimEnd().split('\n').at(-1)]).toEqual([1, '', expect.stringMatching(message)]);
    expect(err).not.toContain(TOKEN);
  };
  await failed(/holds nothing that can be pushed/, path('empty'), REPO);
  await failed(/There is no file or folder .*nowhere/, path('nowhere'), REPO);
  await failed(/is no export: name its folder/, path('out', 'README.md'), REPO);
  await failed(/zoe\/tuned belongs to zoe, where the token's account, anna, may not write/, path('out'), 'zoe/tuned');
  hub.uploads.isFull = true;
  await failed(/has no room for adapter_model.safetensors \("Private storage limit reached"\)/, path('out'), REPO);
  vi.stubEnv('HF_TOKEN', 'hf_another');
  await failed(/doesn't accept the token: it may be mistyped, expired or revoked/, path('out'), REPO);
  vi.stubEnv('HF_TOKEN', '');
  await failed(
    /There is no token to push with: make one with write access at .*settings\/tokens, and set HF_TOKEN/,
    path('out'),
    REPO,
  );
  writeFileSync(path('token'), TOKEN);
  await failed(
    /The token in the file of hf auth login is huggingface.co's, and isn't sent to 127\.0\.0\.1/,
    path('out'),
    REPO,
  );
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  await failed(/HF_HUB_OFFLINE is set: unset it to push/, path('out'), REPO);
});

test('a file that changes while it is sent is refused, and nothing is committed', async () => {
  const change = setInterval(() => {
    if (!hub.requests.some(({ path: url }) => url.includes('/objects/batch'))) return;
    writeFileSync(path('out', 'adapter_model.safetensors'), someBytes(3 * MiB + 7).reverse());
    clearInterval(change);
  }, 1);
  hub.faults.push({ path: '/objects/batch', status: 503, headers: { 'retry-after': '1' }, times: 1 });
  const { code, err } = await graft('push', path('out'), REPO);
  clearInterval(change);
  expect([code, err]).toEqual([1, expect.stringMatching(/adapter_model.safetensors was changed while it was sent/)]);
  expect(hub.uploads.commits(REPO)).toEqual([]);
});

test('a process that is killed on the way goes on when it is called again', async () => {
  hub.uploads.partBytes = MiB;
  writeFileSync(
    path('out', 'model.safetensors'),
    someBytes(9 * MiB).map((byte) => byte ^ 3),
  );
  const env = { HF_HOME: root, HF_ENDPOINT: hub.url, HF_TOKEN: TOKEN };
  const first = startGraft(['push', path('out'), REPO], undefined, env);
  // The first file has come, and a part of the second.
  await vi.waitUntil(
    () => hub.requests.some(({ path: url, host }) => host === 'cdn' && url.includes('/3?') && verified()),
    {
      timeout: 60_000,
      interval: 1,
    },
  );
  first.child.kill('SIGKILL');
  expect((await first.ended).killedBy).toBe('SIGKILL');
  expect(hub.uploads.commits(REPO)).toEqual([]);
  const count = hub.requests.length;
  const { code, err } = await startGraft(['push', path('out'), REPO], undefined, env).ended;
  expect(code, err).toBe(0);
  const sent = hub.requests.slice(count).filter(({ host }) => host === 'cdn');
  expect(sent).toHaveLength(9); // none of the adapter's
  expect(sha(hub.uploads.files(REPO)!['adapter_model.safetensors']!)).toBe(sha(WEIGHTS));
});
const verified = () => hub.requests.some(({ path: url, status }) => url.includes('/lfs/verify') && status === 200);
