/** Tokens and models of two Hubs in one browser: each Hub sees its own token, and what is kept of one is not the other's. */
import { expect } from 'vitest';
import { HUB_RUN, HubPage, test as base } from '../support/hub-page';
import { serveSite } from '../support/site.mjs';
import { shardedModel } from '../support/sharded-model';
import { StandInHub } from '../support/stand-in-hub';

const ID = 'graft/own-llama';

const test = base.extend<{ mirror: StandInHub }>({
  // eslint-disable-next-line no-empty-pattern -- vitest reads a fixture's dependencies from this pattern
  mirror: async ({}, use) => {
    const mirror = await StandInHub.start();
    await use(mirror);
    await mirror.close();
  },
});

/** Everything in the browser's databases and caches, as text. */
const dumpStorage = async () => {
  const texts = [location.href, ...(await caches.keys())];
  const textOf = async (value: unknown): Promise<string> => {
    if (value instanceof Blob) return value.text();
    if (ArrayBuffer.isView(value)) return new TextDecoder('latin1').decode(value);
    if (typeof value !== 'object' || value === null) return String(value);
    return (await Promise.all(Object.entries(value).flat().map(textOf))).join('\n');
  };
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise<IDBDatabase>((done) => {
      const request = indexedDB.open(name!);
      request.onsuccess = () => done(request.result);
    });
    for (const store of database.objectStoreNames) {
      const values = await new Promise<unknown[]>((done) => {
        const request = database.transaction(store).objectStore(store).getAll();
        request.onsuccess = () => done(request.result);
      });
      texts.push(await textOf(values));
    }
    database.close();
  }
  return texts.join('\n');
};

/** All tokens that a host was sent, in whatever place. */
function tokensSent({ requests }: StandInHub): string[] {
  return [...new Set(requests.flatMap((request) => JSON.stringify(request).match(/canary_\w+/g) ?? []))];
}

test('each Hub sees its own token and serves its own model, and tokens are nowhere but where they are kept on purpose', async ({
  page,
  hub,
  mirror,
}) => {
  const hosts = { GRAFT_CONNECT_HOSTS: [hub.url, hub.cdnUrl, mirror.url, mirror.cdnUrl].join(' ') };
  const site = await serveSite({ ...hosts, HF_ENDPOINT: hub.url });
  // Both say that it is at the same commit: that follows from names and sizes.
  hub.add(ID, await shardedModel({}, { seed: 1 }), { private: true });
  mirror.add(ID, await shardedModel({}, { seed: 2 }), { private: true });
  hub.allow('canary_hub', ID);
  mirror.allow('canary_mirror', ID);
  const logged: string[] = [];
  page.on('console', (message) => logged.push(message.text()));

  const graft = await HubPage.open(page, site);
  await graft.openSettings();
  const token = graft.at('hub-access').getByTestId('hub-token');
  await token.fill('canary_hub');
  await graft.at('hub-access').getByRole('checkbox').check();
  await token.press('Enter');
  await graft.at('hub-access').getByText('A token is kept').waitFor();
  await graft.openHub(ID);
  await graft.plannedTotal();
  await graft.fetchWeights();

  await graft.openSettings();
  await graft.at('hub-endpoint').fill(mirror.url);
  await graft.at('hub-endpoint').press('Enter');
  await graft.at('other-token').getByText(`kept in this browser for ${hub.url}`).waitFor();
  await token.fill('canary_mirror');
  await token.press('Enter');
  await graft.at('hub-access').getByText('A token is in use until this page closes').waitFor();
  await graft.openHub(ID);
  await page.getByText(`From ${mirror.url}, main`).waitFor();
  await graft.useRunFile(HUB_RUN);
  await graft.plannedTotal();
  await graft.kept('none'); // the same name and commit, of another Hub
  await graft.start();
  await graft.state('finished');
  expect(mirror.weightRequests().length).toBeGreaterThan(0);
  expect([tokensSent(hub), tokensSent(mirror)]).toEqual([['canary_hub'], ['canary_mirror']]);
  for (const { host, authorization, path } of [...hub.requests, ...mirror.requests]) {
    expect(path).not.toContain('canary');
    if (host === 'cdn') expect(authorization).toBeUndefined();
  }
  for (const name of ['run.yaml', 'README.md', 'graft.json', 'trainer_state.json'])
    expect((await graft.download(name)).toString(), name).not.toContain('canary');
  expect(await page.evaluate(dumpStorage)).not.toContain('canary');
  expect(logged.join('\n')).not.toContain('canary');
  const { 'graft.secrets': kept, ...rest } = await page.evaluate((): Record<string, string> => ({ ...localStorage }));
  expect(JSON.parse(kept!)).toEqual([{ origin: hub.url, secret: 'canary_hub' }]);
  expect(JSON.stringify(rest)).not.toContain('canary');

  // The same page served with the mirror as its Hub, to a visitor whose earlier page kept a token by itself.
  await page.evaluate(() => {
    localStorage.setItem('graft.hub-token', '"canary_old"');
    localStorage.removeItem('graft.hub-endpoint');
  });
  await site.close();
  const next = await serveSite({ ...hosts, HF_ENDPOINT: mirror.url }, Number(new URL(site.url).port));
  expect(next.url).toBe(site.url);
  mirror.requests.length = 0;
  await HubPage.open(page, next);
  await graft.openModels();
  await graft.at('hub-notice').getByText('It was deleted').waitFor();
  await graft.at('hub').getByText(new URL(mirror.url).host).first().waitFor();
  await graft.find('llama');
  await graft.at('hub-title').getByText('llama').waitFor();
  expect(mirror.requests.length).toBeGreaterThan(0);
  expect(tokensSent(mirror)).toEqual([]);
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toMatch(/canary_(old|mirror)/);
  await next.close();
});

test('what earlier pages kept stays where huggingface.co alone was asked for it, and is deleted otherwise', async ({
  page,
  site,
  hub,
}) => {
  hub.add('graft/other-llama', await shardedModel({}, { seed: 3 }));
  const graft = await HubPage.open(page, site);
  await graft.openHub('graft/other-llama');
  await graft.plannedTotal();
  const left = await page.evaluate(
    async ({ endpoint }) => {
      const database = await new Promise<IDBDatabase>((done) => {
        const request = indexedDB.open('graft');
        request.onsuccess = () => done(request.result);
      });
      const stores = database.transaction(['openings', 'revisions', 'workspace'], 'readwrite');
      const opening = await new Promise((done) => {
        const request = stores.objectStore('openings').getAll();
        request.onsuccess = () => done(request.result[0]);
      });
      const askers: Record<string, string[]> = {
        a: ['https://huggingface.co'],
        b: ['https://huggingface.co', endpoint],
        c: [endpoint],
        d: [],
      };
      for (const [digit, endpoints] of Object.entries(askers)) {
        const commit = digit.repeat(40);
        stores.objectStore('openings').put(opening, `org/${digit}@${commit}`);
        for (const asker of endpoints)
          stores.objectStore('revisions').put({ commit, seenAt: 1 }, [`${asker} org/${digit}`, 'main']);
      }
      stores.objectStore('workspace').delete('kept-models-by-hub');
      await new Promise((done) => (stores.oncomplete = done));
      const before = database.objectStoreNames.length;
      database.close();
      return before;
    },
    { endpoint: hub.url },
  );
  expect(left).toBeGreaterThan(0);
  await page.reload();
  await graft.at('model-name').getByText('graft/other-llama', { exact: true }).waitFor();
  const readKeys = () =>
    page.evaluate(async () => {
      const database = await new Promise<IDBDatabase>((done) => {
        const request = indexedDB.open('graft');
        request.onsuccess = () => done(request.result);
      });
      return new Promise<string[]>((done) => {
        const request = database.transaction('openings').objectStore('openings').getAllKeys();
        request.onsuccess = () => done(request.result.map(String));
      });
    });
  // The name is there before what is kept has been looked through.
  await expect
    .poll(async () => (await readKeys()).filter((key) => key.startsWith('org/')), { timeout: 20_000 })
    .toEqual([`org/a@${'a'.repeat(40)}`]);
  expect((await readKeys()).filter((key) => key.startsWith('graft/other-llama@'))).toEqual([
    expect.stringContaining(`@${hub.url}`),
  ]);
});
