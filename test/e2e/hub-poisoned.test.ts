/** Models of a Hub that are not what they should be, in the page: what it says, and that nothing of them is kept. */
import { describe, expect } from 'vitest';
import { HubPage, test } from '../support/hub-page';
import { shardedModel, shardName, type ModelFiles } from '../support/sharded-model';
import { LOGIN_PAGE, type Fault } from '../support/stand-in-hub';

const SHARDS = 3;
const LAST = shardName(SHARDS, SHARDS);

/** Models, weights and shards in the browser's database. */
const everythingKept = async () => {
  const counts: Record<string, number> = {};
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise<IDBDatabase>((done, fail) => {
      const request = indexedDB.open(name!);
      request.onsuccess = () => done(request.result);
      request.onerror = () => fail(request.error!);
    });
    for (const store of database.objectStoreNames) {
      counts[store] = await new Promise((done) => {
        const request = database.transaction(store).objectStore(store).count();
        request.onsuccess = () => done(request.result);
      });
    }
    database.close();
  }
  return counts;
};
const NOTHING = { openings: 0, weights: 0, weightShards: 0 };

describe('a model whose weights', () => {
  test.for<[string, string, (files: ModelFiles) => Fault, RegExp]>([
    [
      'have one bit turned',
      'graft/flipped',
      (files) => ({ host: 'cdn', path: LAST, flipAt: files[LAST]!.byteLength - 9, times: Infinity }),
      /safetensors of graft\/flipped is damaged: its SHA-256 is .* Nothing of it was kept/,
    ],
    [
      'come after a header that was damaged on its way',
      'graft/misread',
      // Two ranges are a header: its length, and itself.
      (files) => ({ host: 'cdn', path: LAST, flipAt: Buffer.from(files[LAST]!).indexOf('"pt"') + 1, times: 2 }),
      /The header of .*safetensors of graft\/misread is not what it was when the model was opened/,
    ],
  ])(
    '%s is refused, nothing of it is kept, and it loads afterwards',
    async ([, id, fault, message], { page, site, hub }) => {
      const files = await shardedModel({}, { shards: SHARDS });
      hub.add(id, files);
      hub.faults.push(fault(files));
      const graft = await HubPage.open(page, site);
      await graft.openHub(id);
      await graft.plannedTotal();
      await graft.at('download').click();
      const error = graft.at('download-error');
      await error.waitFor();
      expect(await error.innerText()).toMatch(message);
      expect(await error.innerText()).not.toContain('goes on from there');
      expect(await page.evaluate(everythingKept)).toMatchObject(NOTHING);
      hub.faults.length = 0;
      await graft.fetchWeights();
    },
  );
});

test('a login page in place of a config is refused, and nothing of the model is kept', async ({ page, site, hub }) => {
  hub.add('graft/behind-login', await shardedModel({}, { shards: SHARDS }));
  hub.faults.push({ path: 'behind-login/resolve', body: LOGIN_PAGE, times: Infinity });
  const graft = await HubPage.open(page, site);
  await graft.find('graft/behind-login');
  await graft.at('model-error').getByText('sent a web page in place of').waitFor();
  expect(await page.evaluate(everythingKept)).toMatchObject(NOTHING);
  hub.faults.length = 0;
  await graft.openHub('graft/behind-login');
});
