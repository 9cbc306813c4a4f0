import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { readArguments } from '../../../src/cli/arguments';
import { cachedSnapshot } from '../../../src/cli/hub-cache';
import { hubEnvironment, openHubModel, type HubEnvironment } from '../../../src/cli/hub';
import { CACHE_FLAGS, folderCache } from '../../../src/cli/model-cache';
import { FolderOpenings } from '../../../src/cli/opening-folder';
import { modelSource } from '../../../src/cli/sources';
import { Terminal } from '../../../src/cli/terminal';
import type { FileSource } from '../../../src/core/store';
import { openModel } from '../../../src/formats/model';
import { modelIdentity } from '../../../src/hub/names';
import { StandInHub } from '../../support/stand-in-hub';
import { expectError, tinyModel } from '../recipes/support';
import { runHere as graft } from './support';

const ID = 'org/tiny';
let root: string;
let hub: StandInHub;
let commit: string;
let files: Record<string, Uint8Array>;
let said: string[];

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'graft-hub-'));
  hub = await StandInHub.start();
  said = [];
  const source = await tinyModel();
  files = {};
  for (const file of await source.list()) files[file] = await source.read(file);
  ({ commit } = hub.add(ID, files, { revisions: ['v1'] }));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

const settings = (changes: Partial<HubEnvironment> = {}): HubEnvironment => ({
  endpoint: hub.url,
  token: undefined,
  withheldToken: false,
  offline: false,
  cacheFolder: join(root, 'hub'),
  openings: new FolderOpenings(join(root, 'openings')),
  ...changes,
});
const open = (changes?: Partial<HubEnvironment>, revision = 'main'): Promise<FileSource> =>
  openHubModel(ID, revision, (line) => said.push(line), settings(changes));

/** Lays out files as Hugging Face's tools do: blobs, links to them, and what a branch was. */
function fillCache(held: Record<string, Uint8Array>, at = commit): void {
  const folder = join(root, 'hub/models--org--tiny');
  for (const part of ['blobs', 'refs', `snapshots/${at}`]) mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'refs/main'), at);
  for (const [name, bytes] of Object.entries(held)) {
    writeFileSync(join(folder, 'blobs', `of-${name}`), bytes);
    symlinkSync(`../../blobs/of-${name}`, join(folder, `snapshots/${at}`, name));
  }
}

describe('the environment', () => {
  test('is read as Hugging Face’s own tools read it', async () => {
    const { cacheFolder, ...rest } = await hubEnvironment({});
    expect(cacheFolder).toBe(join(homedir(), '.cache/huggingface/hub'));
    expect(rest).toMatchObject({ endpoint: undefined, offline: false });
    const folder = async (env: NodeJS.ProcessEnv) => (await hubEnvironment(env)).cacheFolder;
    expect(await folder({ XDG_CACHE_HOME: '/x' })).toBe(join('/x/huggingface/hub'));
    expect(await folder({ XDG_CACHE_HOME: '/x', HF_HOME: '/h' })).toBe(join('/h/hub'));
    expect(await folder({ HF_HOME: '~/h', HF_HUB_CACHE: '/c' })).toBe('/c');
    expect(await folder({ HF_HOME: '~/h' })).toBe(join(homedir(), 'h/hub'));
    for (const on of ['1', 'ON', 'yes', 'True'])
      expect((await hubEnvironment({ HF_HUB_OFFLINE: on })).offline).toBe(true);
    expect((await hubEnvironment({ HF_HUB_OFFLINE: '0' })).offline).toBe(false);
    expect((await hubEnvironment({ HF_ENDPOINT: 'https://mirror.example' })).endpoint).toBe('https://mirror.example');
  });

  test('has a token, or a file with one', async () => {
    writeFileSync(join(root, 'token'), 'hf_file\n');
    const token = async (env: NodeJS.ProcessEnv) => (await hubEnvironment(env)).token?.trim();
    expect(await token({ HF_HOME: root })).toBe('hf_file');
    expect(await token({ HF_HOME: root, HF_TOKEN: 'hf_env' })).toBe('hf_env');
    expect(await token({ HF_HOME: '/none', HF_TOKEN_PATH: join(root, 'token') })).toBe('hf_file');
    expect(await token({ HF_HOME: '/none' })).toBeUndefined();
  });

  test('has a file with a token that is for huggingface.co alone', async () => {
    writeFileSync(join(root, 'token'), 'hf_file\n');
    const read = (env: NodeJS.ProcessEnv) => hubEnvironment({ HF_HOME: root, ...env });
    expect(await read({ HF_ENDPOINT: 'https://huggingface.co/' })).toMatchObject({ withheldToken: false });
    const mirror = { HF_ENDPOINT: hub.url };
    expect(await read(mirror)).toMatchObject({ token: undefined, withheldToken: true });
    expect(await read({ ...mirror, HF_TOKEN: 'hf_env' })).toMatchObject({ token: 'hf_env', withheldToken: false });
    hub.add('org/own', {}, { private: true });
    const openOwn = async () => openHubModel('org/own', 'main', () => undefined, await read(mirror));
    await expectError(openOwn, 'not-found', /has no public model org\/own.* was not sent.*: set HF_TOKEN/);
    expect(hub.requests.map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});

describe('a model of the Hub', () => {
  test('comes from there at the commit of the revision', async () => {
    const source = await open({}, 'v1');
    expect([source.name, source.commit]).toEqual([ID, commit]);
    expect(await source.read('config.json')).toEqual(files['config.json']);
  });

  test('what the cache has of that commit is read from the disk, the rest from the Hub', async () => {
    const weights = files['model.safetensors']!;
    fillCache({ 'config.json': files['config.json']!, 'model.safetensors': weights });
    const source = await open();
    expect(await source.read('config.json')).toEqual(files['config.json']);
    const pieces: Uint8Array[] = [];
    for await (const piece of source.stream!('model.safetensors', 100)) pieces.push(piece);
    expect(Buffer.compare(Buffer.concat(pieces), weights.subarray(100))).toBe(0);
    expect(await source.sha256!('model.safetensors')).toMatch(/^[0-9a-f]{64}$/);
    expect(hub.requests.length).toBe(1);
  });

  test('a file that the cache has in part only is read from the Hub', async () => {
    fillCache({ 'config.json': files['config.json']!, 'model.safetensors': files['model.safetensors']!.slice(0, 99) });
    const source = await open();
    expect(Buffer.compare(await source.read('model.safetensors'), files['model.safetensors']!)).toBe(0);
    expect(hub.weightRequests().length).toBe(1);
  });

  test('files of the same size that another Hub’s cache has under that commit don’t stand in for the Hub’s', async () => {
    const [config, weights] = [files['config.json']!.slice(), files['model.safetensors']!.slice()];
    config[config.byteLength - 3]! ^= 1;
    weights[weights.byteLength - 3]! ^= 1;
    const name = createHash('sha256').update(weights).digest('hex');
    fillCache({ 'config.json': config });
    const folder = join(root, 'hub/models--org--tiny');
    writeFileSync(join(folder, 'blobs', name), weights);
    symlinkSync(`../../blobs/${name}`, join(folder, `snapshots/${commit}/model.safetensors`));
    const source = await open();
    for (const file of ['config.json', 'model.safetensors'])
      expect(Buffer.compare(await source.read(file), files[file]!), file).toBe(0);
  });

  test('an older commit in the cache is used only where the Hub can’t be reached, and that is said', async () => {
    const old = 'd'.repeat(40);
    fillCache({ 'config.json': files['config.json']! }, old);
    expect((await open()).commit).toBe(commit);
    const source = await open({ endpoint: 'http://127.0.0.1:1' });
    expect([source.name, source.commit]).toEqual([ID, old]);
    expect(await source.list()).toEqual(['config.json']);
    expect(said.at(-1)).toMatch(/can't be reached.* Using commit d{40} from .*, which has no weights of it\.$/);
    await expectError(() => open({ endpoint: 'http://127.0.0.1:1' }, 'v1'), 'network', /can't be reached/);
  });

  test('without a network by choice, the cache is all there is', async () => {
    await expectError(() => open({ offline: true }), 'not-found', /HF_HUB_OFFLINE is set, and .* has no org\/tiny/);
    fillCache(files);
    expect((await open({ offline: true })).commit).toBe(commit);
    expect((await open({ offline: true }, commit)).commit).toBe(commit);
    expect(said).toEqual([]);
    expect(hub.requests).toEqual([]);
  });

  test('a blob of the cache that is not what its name says is named, with what to do', async () => {
    const [weights, file] = [files['model.safetensors']!.slice(), 'model.safetensors'];
    const name = createHash('sha256').update(weights).digest('hex');
    fillCache({ 'config.json': files['config.json']! });
    const [blob, link] = [`blobs/${name}`, `snapshots/${commit}/${file}`].map((path) =>
      join(root, 'hub/models--org--tiny', path),
    ) as [string, string];
    symlinkSync(`../../blobs/${name}`, link);
    writeFileSync(blob, weights);
    const snapshot = (await cachedSnapshot(join(root, 'hub'), ID, commit))!;
    expect(await snapshot.sha256!(file)).toBe(name);
    expect(await snapshot.sha256!('config.json')).toBeUndefined();
    const read = async (source: FileSource) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of source.stream!(file, 0)) pieces.push(piece);
      return Buffer.concat(pieces);
    };
    expect(Buffer.compare(await read(snapshot), weights)).toBe(0);
    weights[weights.byteLength >> 1]! ^= 1;
    writeFileSync(blob, weights);
    for (const source of [snapshot, await open()])
      await expectError(() => read(source), 'bad-file', new RegExp(`${name}, in the cache .* Delete it`));
    expect(hub.weightRequests()).toEqual([]);
  });

  test('a cache with something odd in it is no cache', async () => {
    const folder = join(root, 'hub/models--org--tiny');
    mkdirSync(join(folder, 'refs'), { recursive: true });
    for (const text of ['', '../../..', 'main', commit]) {
      writeFileSync(join(folder, 'refs/main'), text);
      expect(await cachedSnapshot(join(root, 'hub'), ID, 'main')).toBeUndefined();
    }
  });
});

test('the weights of a model of the Hub are kept under its name and commit, whatever their form', async () => {
  const args = readArguments([], { flags: CACHE_FLAGS, positionals: 0, runKeys: false });
  const terminal = new Terminal({ write: () => undefined }, { write: () => undefined }, false);
  const model = { ...(await openModel(await open())), weightBytes: 1 };
  expect((await folderCache(args, model, false, terminal))?.model).toBe(`${ID}@${commit}`);
  vi.stubEnv('HF_ENDPOINT', hub.url);
  expect((await folderCache(args, model, false, terminal))?.model).toBe(`${ID}@${commit}@${hub.url}`);
  const without = readArguments(['--no-cache'], { flags: CACHE_FLAGS, positionals: 0, runKeys: false });
  expect(await folderCache(without, model, true, terminal)).toBeUndefined();
});

test('the 4 bits of a GGUF file are kept under its path and what it was when it last changed', async () => {
  const args = readArguments([], { flags: CACHE_FLAGS, positionals: 0, runKeys: false });
  const terminal = new Terminal({ write: () => undefined }, { write: () => undefined }, false);
  const path = join(root, 'm.gguf');
  copyFileSync('test/golden/gguf/llama.gguf', path);
  const identity = async (name: string) => {
    const model = await openModel(await modelSource(name, undefined, () => undefined));
    return (await folderCache(args, { ...model, weightBytes: 2 ** 30 }, true, terminal))!.model;
  };
  const before = await identity(path);
  expect(before).toMatch(/m\.gguf@[0-9a-f]{12}$/);
  expect(await identity(root)).toBe(before);
  writeFileSync(join(root, 'notes.json'), '{}');
  expect(await identity(path)).toBe(before);
  utimesSync(path, 1, 1);
  expect(await identity(path)).not.toBe(before);
});

test('a GGUF model of the Hub is pinned to its commit, and kept under its repository’s name', async () => {
  const gguf = hub.add('org/gguf', { 'm.gguf': readFileSync('test/golden/gguf/llama.gguf') });
  const args = readArguments([], { flags: CACHE_FLAGS, positionals: 0, runKeys: false });
  const terminal = new Terminal({ write: () => undefined }, { write: () => undefined }, false);
  const model = await openModel(await openHubModel('org/gguf', 'main', () => undefined, settings()));
  expect(model.commit).toBe(gguf.commit);
  expect((await folderCache(args, model, false, terminal))!.model).toBe(`org/gguf@${gguf.commit}`);
  // To everyone who reads more of it, it is a folder in the Hub's layout.
  vi.stubEnv('HF_ENDPOINT', hub.url);
  const source = await modelSource('org/gguf', undefined, () => undefined);
  expect([source.name, source.commit]).toEqual(['org/gguf/m.gguf', gguf.commit]);
  expect(await source.size('config.json')).toBeGreaterThan(0);
});

test('what was kept of another Hub’s model stays apart from Hugging Face’s own', () => {
  expect(modelIdentity(ID, commit, 'https://huggingface.co/')).toBe(`${ID}@${commit}`);
  expect(modelIdentity(ID, commit, 'https://mirror.example/hf/')).toBe(`${ID}@${commit}@mirror.example/hf`);
  expect(() => modelIdentity(ID, commit, 'mirror')).toThrow(/no address of a Hub/);
});

describe('graft --model org/name', () => {
  beforeEach(() => {
    vi.stubEnv('HF_HOME', root);
    vi.stubEnv('GRAFT_CACHE', join(root, 'graft'));
    vi.stubEnv('HF_ENDPOINT', hub.url);
  });

  test('plans from the headers of its files, not from its weights', async () => {
    const { code, out } = await graft('plan', '--model', `${ID}@v1`, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ total_bytes: expect.any(Number) });
    expect(hub.requests[0]!.path).toContain('/revision/v1?');
    const sent = hub.weightRequests().reduce((sum, request) => sum + request.sent, 0);
    expect(sent).toBeLessThan(files['model.safetensors']!.byteLength / 2);
  });

  test('says in one line what the Hub says', async () => {
    hub.add('org/gated', files, { gated: 'auto' });
    const refused = await graft('plan', '--model', 'org/gated');
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/^graft: org\/gated is gated: open .*\n$/)]);
    hub.allow('hf_in', 'org/gated');
    vi.stubEnv('HF_TOKEN', 'hf_in');
    expect((await graft('plan', '--model', 'org/gated')).code).toBe(0);
    const missing = await graft('plan', '--model', ID, '--revision', 'v7');
    expect(missing.err).toMatch(/^graft: org\/tiny has no revision v7/);
    const mistyped = await graft('plan', '--model', 'models/foo');
    expect(mistyped.err).toMatch(/has no model models\/foo .* There is no folder models\/foo here either\.\n$/);
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:9');
    const unreached = await graft('export', '--model', 'starter', '--adapter', 'w/none', '--output', join(root, 'new'));
    expect([unreached.code, unreached.err]).toEqual([
      1,
      expect.stringMatching(
        /can't be reached.* There is no folder w\/none here, so that it was taken for a name on the Hub\.\n$/,
      ),
    ]);
  });
});
