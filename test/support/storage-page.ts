/** A blank page in Chromium that runs the source modules of browser storage as they are, on a real IndexedDB. */
import type { Page } from 'playwright-core';
import { createServer } from 'vite';
import { test as base } from 'vitest';
import { launchBrowser } from './site.mjs';
import type * as storage from '../../src/storage/indexeddb';

export type Storage = typeof storage;
export type Call = <A, R>(action: (storage: Storage, argument: A) => Promise<R>, argument: A) => Promise<R>;

interface Fixtures {
  page: Page;
  url: string;
  /** Runs a function in the page with the storage module as its first argument. */
  call: Call;
}

const MODULE = '/src/storage/indexeddb/index.ts';

/** Calls in a page that was opened beside the fixture's. */
export function callIn(page: Page): Call {
  return <A, R>(action: (storage: Storage, argument: A) => Promise<R>, argument: A) =>
    page.evaluate<R>(
      `import(${JSON.stringify(MODULE)}).then((storage) => (${action.toString()})(storage, ${JSON.stringify(argument)}))`,
    );
}

export const test = base.extend<Fixtures>({
  url: [
    // eslint-disable-next-line no-empty-pattern -- vitest reads a fixture's dependencies from this pattern
    async ({}, use) => {
      const server = await createServer({
        configFile: false,
        logLevel: 'error',
        server: { port: 0, host: 'localhost' },
        optimizeDeps: { noDiscovery: true },
        plugins: [
          {
            name: 'blank',
            configureServer: ({ middlewares }) =>
              void middlewares.use('/blank', (_, answer) => answer.end('<!doctype html>')),
          },
        ],
      });
      await server.listen();
      await use(server.resolvedUrls!.local[0]!);
      await server.close();
    },
    { scope: 'file' },
  ],
  page: async ({ url }, use) => {
    const browser = await launchBrowser();
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${url}blank`);
    await use(page);
    await browser.close();
  },
  call: async ({ page }, use) => use(callIn(page)),
});
