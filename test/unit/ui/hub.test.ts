/** The page's choice of a Hub and its tokens, on the text worker's own desk; several tabs share one storage. */
import { beforeEach, expect, test, vi } from 'vitest';
import { HubDesk } from '../../../workers/hub/hub';
import { hubService } from '../../../workers/services/hub';
import type { HubService } from '../../../src/protocol/hub';
import type { Workers } from '../../../src/ui/client/workers';
import { HubState } from '../../../src/ui/features/hub/hub.svelte';
import { useHosts } from '../connections/support';

const startHost = useHosts();
const PAGE_HUB = 'https://page.example';
let stored: Map<string, string>;
let tabs: EventTarget[];

beforeEach(() => {
  stored = new Map();
  tabs = [];
  return () => vi.unstubAllGlobals();
});

/** What the browser does for the page in one tab: storage events go to the others. */
function enterTab(tab: EventTarget): void {
  const change = (key: string, value: string | undefined) => {
    if (value === undefined) stored.delete(key);
    else stored.set(key, value);
    for (const other of tabs) if (other !== tab) other.dispatchEvent(Object.assign(new Event('storage'), { key }));
  };
  vi.stubGlobal('window', tab);
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: change,
    removeItem: (key: string) => change(key, undefined),
  });
}

function openTab() {
  const tab = new EventTarget();
  tabs.push(tab);
  enterTab(tab);
  const desks = { text: new HubDesk(), gpu: new HubDesk() };
  const client = (desk: HubDesk) => ({
    onStart: () => undefined,
    call: <T>(ask: (worker: { hub: HubService }) => Promise<T>) => Promise.resolve({ hub: hubService(desk) }).then(ask),
  });
  const workers = { text: client(desks.text), gpu: client(desks.gpu) } as unknown as Workers;
  const hub = new HubState(workers, PAGE_HUB);
  return { hub, desks, enter: () => enterTab(tab) };
}

const keptSecrets = () =>
  (JSON.parse(stored.get('graft.secrets') ?? '[]') as { secret: string }[]).map((s) => s.secret);

test('a token forgotten in one tab stays forgotten, and is no longer sent by another', async () => {
  const host = await startHost((_, response) => void response.end('[]'));
  const first = openTab();
  await first.hub.useEndpoint(host.url);
  await first.hub.useToken('canary_A', true);
  const second = openTab();
  await second.hub.useToken('canary_T', false);
  expect(second.hub.token).toEqual({ kept: false });
  first.enter();
  await first.hub.forgetToken();
  expect(keptSecrets()).toEqual([]);

  second.enter();
  await second.hub.forgetToken();
  expect(second.hub.token).toBeUndefined();
  await second.hub.useEndpoint('http://127.0.0.1:1');
  await second.hub.useToken('canary_T', true);
  expect(keptSecrets()).toEqual(['canary_T']);
  await second.hub.useEndpoint(host.url);
  expect(second.hub.token).toBeUndefined();
  host.received.length = 0;
  for (const desk of Object.values(second.desks)) await desk.find('tiny', new AbortController().signal);
  expect(host.received.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
});

test('a token kept in another tab is used here, and not overwritten', async () => {
  const host = await startHost((_, response) => void response.end('[]'));
  const [first, second] = [openTab(), openTab()];
  await second.hub.useEndpoint(host.url);
  first.enter();
  await first.hub.useEndpoint(host.url);
  await first.hub.useToken('canary_A', true);
  second.enter();
  expect(second.hub.token).toEqual({ kept: true });
  await vi.waitFor(async () => {
    await second.desks.gpu.find('tiny', new AbortController().signal);
    expect(host.received.at(-1)!.headers.authorization).toBe('Bearer canary_A');
  });
  await second.hub.useEndpoint('');
  await second.hub.useToken('canary_B', true);
  expect(keptSecrets()).toEqual(['canary_A', 'canary_B']);
});

test('a token is forgotten while another Hub is being asked, and stays so when that answers', async () => {
  const { answer, url } = await startPending();
  const { hub, desks } = openTab();
  await hub.useToken('canary', true);
  const chosen = hub.useEndpoint(url);
  expect(hub.choosing).toBe(url);
  expect(await hub.useToken('canary_pasted', true)).toBe(false); // for which of the two?
  await hub.forgetToken();
  expect(hub.token).toBeUndefined();
  answer();
  expect(await chosen).toBe(true);
  expect([hub.endpoint, hub.token, hub.otherTokens, keptSecrets()]).toEqual([url, undefined, [], []]);
  expect(desks.gpu.client().endpoint).toBe(url);
});

test('of two Hubs that are chosen one after the other the later one holds', async () => {
  const { answer, url } = await startPending();
  const quick = await startHost((_, response) => void response.end('[]'));
  const { hub, desks } = openTab();
  const first = hub.useEndpoint(url);
  expect(await hub.useEndpoint(`${quick.url}/`)).toBe(true);
  answer();
  expect(await first).toBe(false);
  expect([hub.endpoint, stored.get('graft.hub-endpoint')]).toEqual([quick.url, JSON.stringify(quick.url)]);
  expect(Object.values(desks).map((desk) => desk.client().endpoint)).toEqual([quick.url, quick.url]);
  expect([hub.settingsError, hub.choosing]).toEqual([undefined, undefined]);
});

test('going back to the Hub in use ends the wait for another', async () => {
  const { answer, url } = await startPending();
  const { hub } = openTab();
  const chosen = hub.useEndpoint(url);
  expect(await hub.useEndpoint('')).toBe(true);
  answer();
  expect(await chosen).toBe(false);
  expect([hub.endpoint, hub.choosing]).toEqual(['', undefined]);
});

test('what is refused changes nothing', async () => {
  const { hub, desks } = openTab();
  expect(await hub.useEndpoint('ftp://hub')).toBe(false);
  expect(hub.settingsError?.code).toBe('bad-config');
  expect(await hub.useToken('a\u0001b', true)).toBe(false);
  expect(hub.settingsError?.message).toMatch(/copy it again/);
  expect([hub.token, keptSecrets(), stored.size]).toEqual([undefined, [], 0]);
  expect(await hub.useToken('canary', false)).toBe(true);
  expect([hub.settingsError, hub.token, desks.text.client().endpoint]).toEqual([undefined, { kept: false }, PAGE_HUB]);
});

/** A Hub that answers when it is told to. */
async function startPending() {
  let answer: () => void = () => undefined;
  const answered = new Promise<void>((done) => (answer = done));
  const host = await startHost((_, response) => void answered.then(() => response.end('[]')));
  return { answer, url: host.url };
}
