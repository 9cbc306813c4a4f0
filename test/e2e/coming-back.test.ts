/** What a visitor has on the page stays: while it comes back, beside another tab, and where the browser kept it badly. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect } from 'vitest';
import { DATABASE_VERSION } from '../../src/storage/indexeddb';
import { test } from '../support/browser';
import { GraftPage, type Site } from '../support/page';
import { watchForProblems } from '../support/site.mjs';
import { tinyRows, writeTinyModel } from '../support/tiny-model';

/** Generous: another run may have the processor. */
const PATIENCE = { timeout: 60_000 };

/** Two steps on the starter. */
const SHORT_RUN = 'max_steps: 2\nmax_train_samples: 3\nper_device_train_batch_size: 2\nlearning_rate: 1.0e-3\n';

test('a tab keeps its conversation while another one trains the run that both show, and can not take it over', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel();
  await graft.useRunFile('max_steps: 50000\nmax_length: 32\nlora_r: 4\nsave_steps: 50000\n');
  await graft.start();
  await graft.firstStep();

  const beside = await page.context().newPage();
  const problems = watchForProblems(beside);
  const other = await GraftPage.open(beside, site);
  await other.openModels();
  await other.at('use-starter').click(); // the tiny model has no words
  await other.at('model-name').getByText('starter').waitFor();
  await other.openBaseChat();
  await beside.getByText('How it answers').click();
  await other.at('max-new-tokens').fill('4');
  await other.at('chat-input').fill('Who are you?');
  await other.at('send').click();
  await beside.locator('[data-testid=base-answer][data-state=done]').waitFor(PATIENCE);
  const answer = await other.at('base-answer').innerText();

  await other.openWorkbench();
  await other.at('start-elsewhere').waitFor();
  await other.openRuns();
  await other.at('library-row').waitFor();
  expect(await other.at('library-row').getAttribute('data-state')).toBe('running');
  expect(await beside.getByRole('button', { name: /^Delete tiny on/ }).isDisabled()).toBe(true);
  await other.openRun();
  await other.state('running');
  expect(await other.at('status').innerText()).toContain('another tab');
  expect(await other.at('resume').count()).toBe(0);
  const step = async () => Number(await other.at('step').innerText());
  for (let look = 0; look < 3; look++) {
    const before = await step();
    await expect.poll(step, PATIENCE).toBeGreaterThan(before);
  }
  await other.openBaseChat();
  expect(await other.at('question').allInnerTexts()).toEqual([expect.stringContaining('Who are you?')]);
  expect(await other.at('base-answer').innerText()).toBe(answer);
  expect(problems).toEqual([]);
  await beside.close();
  await graft.at('cancel').click();
  await graft.state('cancelled');
});

describe('while the page comes back', () => {
  test('what is chosen before anything of the last visit is there stays', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await graft.useData('before.jsonl', '{"question": "a", "answer": "b"}\n');
    await setRank(graft, '16');
    const release = await hold(page, /\/assets\/text\.worker/);
    await page.reload();
    await setRank(graft, '3');
    await graft.useData('chosen.jsonl', tinyRows(4));
    await openTiny(graft);
    release();
    const isAsChosen = async () => {
      await graft.openWorkbench();
      await graft.at('model-name').getByText('tiny', { exact: true }).waitFor(PATIENCE);
      await graft.at('data-facts').locator('dd').first().waitFor(PATIENCE);
      await page.locator('[data-testid=start]:enabled').waitFor(PATIENCE);
      expect(await graft.at('dataset-name').innerText()).toBe('chosen.jsonl');
      expect(await graft.at('data-facts').innerText()).toMatch(/Examples\s*4\b/);
      expect(await rank(graft).inputValue()).toBe('3');
    };
    await isAsChosen();
    await page.unrouteAll();
    await page.reload(); // and that is what is remembered
    await isAsChosen();
  });

  test('a model that opens late does not take the place of the one that was opened meanwhile', async ({
    page,
    site,
  }) => {
    const release = await hold(page, /\/models\/starter\/tokenizer\.json/);
    await page.goto(site.url);
    const graft = new GraftPage(page);
    await page.getByTestId('place-runs').getByText('none yet').waitFor(PATIENCE);
    await openTiny(graft);
    await graft.useData('rows.jsonl', tinyRows(4));
    await graft.at('model-name').getByText('tiny', { exact: true }).waitFor(PATIENCE);
    release();
    await page.locator('[data-testid=start]:enabled').waitFor(PATIENCE);
    await page.waitForTimeout(1000); // for the starter to come, if it did
    expect(await graft.at('model-name').innerText()).toBe('tiny');
    expect(await graft.at('dataset-name').innerText()).toBe('rows.jsonl');
    expect(await graft.at('model-error').count()).toBe(0);
  });
});

test('what the browser kept badly is said, once, the starter trains, and damaged runs and models can be deleted', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await put(page, 'workspace', { id: 7, rows: 'none' }, 'dataset');
  await put(page, 'workspace', [], 'tabs'); // as an earlier version left it
  await put(page, 'runs', { id: 'bad-run', state: 5, model: null });
  await put(page, 'models', { id: 'bad-model', bytes: 'many' });
  await put(page, 'weights', { id: 'bad-weights', shards: 3 });
  await page.evaluate(() =>
    sessionStorage.setItem('graft.model', JSON.stringify({ kind: 'kept', id: 'gone', name: 'gone' })),
  );
  await page.reload();
  await graft.at('error').waitFor(PATIENCE);
  expect(await graft.at('error').innerText()).toContain('The dataset that was open here before is damaged');
  await graft.at('model-error').waitFor(PATIENCE);
  expect(await graft.at('model-error').innerText()).toContain('The copy of this model is gone');
  await graft.openRuns();
  await graft.at('library-row').waitFor(PATIENCE);
  expect(await graft.at('library-row').innerText()).toContain('A damaged run');
  await graft.at('run-link').click();
  await graft.at('run-error').waitFor(PATIENCE);
  expect(await graft.at('run-error').innerText()).toContain(
    "A damaged run can't be opened: what this browser kept of it is damaged. Delete it.",
  );
  await graft.openModels();
  expect(await graft.at('kept-models').innerText()).toContain('A damaged copy of a model');

  await graft.openWorkbench();
  await page.locator('[data-testid=start]:enabled').waitFor(PATIENCE);
  expect(await graft.at('model-name').innerText()).toContain('starter');
  await graft.useRunFile(SHORT_RUN);
  await graft.start();
  await graft.state('finished');
  await graft.openRuns();
  await page.getByRole('button', { name: 'Delete A damaged run' }).click();
  await graft.at('confirm').click();
  await expect.poll(() => graft.at('library-row').count()).toBe(1);
  await graft.openModels();
  await page.getByRole('button', { name: 'Delete the copy of A damaged copy' }).click();
  await graft.at('confirm').click();
  await graft.at('kept-models').waitFor({ state: 'detached' });
  await page.reload();
  await graft.openRun();
  await graft.state('finished');
  expect(await graft.at('error').count()).toBe(0);
});

describe("the browser's storage that can't be opened is said within 15 s, and not taken for a missing GPU", () => {
  const CASES: [string, { version: number; isHeld: boolean }, RegExp][] = [
    ['of a newer version', { version: 99, isHeld: false }, /newer version of Graft/],
    ['of an older one that another tab holds', { version: 1, isHeld: true }, /Another tab has Graft open/],
    ['without its tables', { version: DATABASE_VERSION, isHeld: false }, /damaged: it lacks/],
  ];

  for (const [what, database, message] of CASES) {
    test(what, async ({ page, site }) => {
      const beside = await page.context().newPage();
      await openBeforehand(beside, site, database);
      await page.goto(site.url);
      await page.getByRole('alert').filter({ hasText: message }).first().waitFor({ timeout: 15_000 });
      const graft = new GraftPage(page);
      await graft.at('device-error').waitFor(PATIENCE);
      expect(await graft.at('device-error').getAttribute('data-code')).toBe('storage');
      for (const waiting of ['Opening the model…', 'Reading the data…', 'Reading the library…']) {
        await expect.poll(() => page.getByText(waiting).filter({ visible: true }).count(), PATIENCE).toBe(0);
      }
      expect(await page.getByRole('alert').filter({ hasText: message }).count()).toBe(1); // said once
      expect(await graft.at('no-webgpu').count()).toBe(0);
      expect(await page.locator('body').innerText()).not.toMatch(
        /No WebGPU|WebGPU is missing|needs a browser with WebGPU/,
      );
      expect(await graft.at('start').isDisabled()).toBe(true);
      await beside.close();
    });
  }
});

test('a run whose answer is being written is not deleted, and the answer goes on', async ({ page, site }) => {
  const graft = await GraftPage.open(page, site);
  await graft.useRunFile(SHORT_RUN);
  await graft.start();
  await graft.state('finished');
  await graft.openPart('Chat');
  await page.getByText('How it answers').click();
  await graft.at('temperature').fill('2');
  await graft.at('top-p').fill('1');
  await graft.at('max-new-tokens').fill('400');
  await graft.at('chat-input').fill('Tell me everything.');
  await graft.at('send').click();
  const writing = page.locator('[data-testid$=-answer][data-state=writing]');
  await writing.waitFor(PATIENCE);

  const remove = async () => {
    await graft.openRuns();
    await page.getByRole('button', { name: /^Delete starter on/ }).click();
    await graft.at('confirm').click();
  };
  await remove();
  await graft.at('library-error').waitFor(PATIENCE);
  expect(await graft.at('library-error').innerText()).toContain('answering or being read right now');
  await graft.openPart('Chat');
  const written = async () => (await page.locator('[data-testid$=-answer]').allInnerTexts()).join('').length;
  const before = await written();
  await expect.poll(written, PATIENCE).toBeGreaterThan(before);
  expect(await graft.at('chat-error').count()).toBe(0);

  await graft.at('chat-stop').click();
  await graft.at('send').waitFor(PATIENCE);
  expect(await page.locator('[data-testid$=-answer][data-state=failed]').count()).toBe(0);
  await remove();
  await graft.at('library-row').waitFor({ state: 'detached' });
  expect(await graft.at('library-error').count()).toBe(0);
});

test('the run file has the model and the data that are open, and one that names others says so', async ({
  page,
  site,
}) => {
  const graft = await GraftPage.open(page, site);
  await graft.useTinyModel(4);
  await page.getByText('All of it as a file').click();
  const shown = await graft.at('run-file').inputValue();
  expect(shown).toMatch(/^model_name_or_path: tiny$/m);
  expect(shown).toMatch(/^dataset: rows\.jsonl$/m);
  const panel = page.locator('details', { has: graft.at('run-file') });
  const button = panel.getByRole('button', { name: 'Download', exact: true });
  const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
  const chunks: Buffer[] = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString()).toBe(shown);

  await graft.useRunFile('model_name_or_path: theirs/model\ndataset: theirs.jsonl\nmax_steps: 2\n');
  const note = await graft.at('run-file-note').innerText();
  for (const name of ['theirs/model', 'theirs.jsonl', 'tiny', 'rows.jsonl']) expect(note).toContain(name);
  const taken = await graft.at('run-file').inputValue();
  expect(taken).toMatch(/^max_steps: 2$/m);
  expect(taken).toMatch(/^model_name_or_path: tiny$/m);
  expect(taken).toMatch(/^dataset: rows\.jsonl$/m);
  await graft.useRunFile('model_name_or_path: tiny\ndataset: rows.jsonl\nmax_steps: 3\n');
  await graft.at('run-file-note').waitFor({ state: 'detached' });
});

describe("what can't be read is said where it was chosen", () => {
  test('a run file and a dataset that are gone by then', async ({ page, site }) => {
    const graft = await GraftPage.open(page, site);
    await page.getByText('All of it as a file').click();
    await chooseLostFile(page, 'run-file-upload', 'lost.yaml');
    await graft.at('run-file-error').waitFor(PATIENCE);
    expect(await graft.at('run-file-error').innerText()).toContain("lost.yaml can't be read");
    await chooseLostFile(page, 'dataset-file', 'lost.jsonl');
    await graft.at('data-error').waitFor(PATIENCE);
    expect(await graft.at('data-error').innerText()).toContain("lost.jsonl can't be read");
  });

  test('a folder that disappears while it is dropped', async ({ page, site }) => {
    const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'lost');
    await writeTinyModel(folder);
    await page.exposeFunction('removeFolder', () => rm(folder, { recursive: true }));
    // The browser reads a folder after the drop: a visitor can't be timed to remove it in between, so the reading waits.
    await page.addInitScript(() => {
      const { removeFolder } = globalThis as unknown as { removeFolder: () => Promise<void> };
      const items = DataTransferItem.prototype;
      const entryOf = Reflect.get(items, 'webkitGetAsEntry');
      items.webkitGetAsEntry = function () {
        const folder = entryOf.call(this) as FileSystemDirectoryEntry;
        const createReader = folder.createReader.bind(folder);
        folder.createReader = () => {
          const reader = createReader();
          const read = reader.readEntries.bind(reader);
          reader.readEntries = (...answers) => void removeFolder().then(() => read(...answers));
          return reader;
        };
        return folder;
      };
    });
    const graft = await GraftPage.open(page, site);
    await graft.openModels();
    await drop(page, page.getByRole('group', { name: 'Open a model of this computer' }), folder);
    await graft.at('model-error').waitFor(PATIENCE);
    expect(await graft.at('model-error').innerText()).toContain("lost can't be read");
    expect(await graft.at('model-name').innerText()).toContain('starter');
  });
});

function rank(graft: GraftPage) {
  return graft.page.locator('#setting-lora_r');
}

async function setRank(graft: GraftPage, value: string): Promise<void> {
  await rank(graft).fill(value);
  await rank(graft).press('Tab');
}

async function openTiny(graft: GraftPage): Promise<void> {
  const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'tiny');
  await writeTinyModel(folder);
  await graft.useFolder(folder);
}

/** Requests for these addresses wait until the function that is returned is called. */
async function hold(page: Page, address: RegExp): Promise<() => void> {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route(address, async (route) => {
    await released;
    await route.continue().catch(() => undefined); // the page may have given it up
  });
  return release;
}

/** Writes a row into the page's database, as another version of Graft or a damaged disk may leave it. */
async function put(page: Page, table: string, row: unknown, key?: string): Promise<void> {
  await page.evaluate(
    ([table, row, key]) =>
      new Promise<void>((resolve, reject) => {
        const opening = indexedDB.open('graft');
        opening.onerror = () => reject(opening.error!);
        opening.onsuccess = () => {
          const database = opening.result;
          const transaction = database.transaction(table, 'readwrite');
          transaction.objectStore(table).put(row, key);
          transaction.onabort = () => reject(transaction.error!);
          transaction.oncomplete = () => {
            database.close();
            resolve();
          };
        };
      }),
    [table, row, key] as const,
  );
}

/** Makes an empty database in the page's place; one that is held stays open until its tab closes. */
async function openBeforehand(
  page: Page,
  site: Site,
  database: { readonly version: number; readonly isHeld: boolean },
): Promise<void> {
  await page.goto(`${site.url}favicon.svg`);
  await page.evaluate(
    ({ version, isHeld }) =>
      new Promise<void>((resolve, reject) => {
        const opening = indexedDB.open('graft', version);
        opening.onerror = () => reject(opening.error!);
        opening.onsuccess = () => {
          if (isHeld) Object.assign(globalThis, { held: opening.result });
          else opening.result.close();
          resolve();
        };
      }),
    database,
  );
}

/** Chooses a file that is deleted before the page reads it. */
async function chooseLostFile(page: Page, testid: string, name: string): Promise<void> {
  await page.evaluate(
    async ([testid, name]) => {
      const root = await navigator.storage.getDirectory();
      const handle = await root.getFileHandle(name, { create: true });
      const writable = await handle.createWritable();
      await writable.write('max_steps: 3\n');
      await writable.close();
      const transfer = new DataTransfer();
      transfer.items.add(await handle.getFile());
      await root.removeEntry(name);
      const input = document.querySelector<HTMLInputElement>(`[data-testid=${testid}]`)!;
      input.files = transfer.files;
      input.dispatchEvent(new Event('change'));
    },
    [testid, name] as const,
  );
}

/** Drops a file or a folder of the disk, as the operating system does. */
async function drop(page: Page, target: ReturnType<Page['locator']>, path: string): Promise<void> {
  await target.scrollIntoViewIfNeeded();
  const box = (await target.boundingBox())!;
  const at = { x: box.x + 20, y: box.y + 10 };
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, ...at, data });
  }
}
