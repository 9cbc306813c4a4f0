/** The real page in headless Chromium, with WebGPU on SwiftShader: a vitest `test` whose fixtures open and close it. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect, test as base } from 'vitest';
import { launchBrowser, serveSite, watchForProblems } from './site.mjs';

interface Fixtures {
  /** The built page, served for this file's tests. */
  site: Awaited<ReturnType<typeof serveSite>>;
  browser: Browser;
  /**
   * Of the page's profile: viewport, colour scheme, and whether there is a service worker: tests look at single requests
   * that it would answer, and most have no use for it. Another test file sets its own with `test.extend({ contextOptions })`.
   */
  contextOptions: BrowserContextOptions;
  /** A blank page in a fresh profile. */
  page: Page;
  /** What went wrong on the page so far. Anything left in it fails the test; one that provokes an error takes it out. */
  problems: string[];
}

export const test = base.extend<Fixtures>({
  site: [
    // eslint-disable-next-line no-empty-pattern -- vitest reads a fixture's dependencies from this pattern
    async ({}, use) => {
      const site = await serveSite();
      await use(site);
      await site.close();
    },
    { scope: 'file' },
  ],
  browser: [
    // eslint-disable-next-line no-empty-pattern -- as above
    async ({}, use) => {
      const browser = await launchBrowser();
      await use(browser);
      await browser.close();
    },
    { scope: 'file' },
  ],
  contextOptions: {},
  page: async ({ browser, contextOptions }, use) => {
    const context = await browser.newContext({ serviceWorkers: 'block', ...contextOptions });
    // Nobody is there to answer the browser's own dialog: files are downloads, as where it has none.
    await context.addInitScript(() => Reflect.deleteProperty(globalThis, 'showSaveFilePicker'));
    await use(await context.newPage());
    await context.close();
  },
  problems: [
    async ({ page }, use) => {
      const problems = watchForProblems(page);
      await use(problems);
      expect(problems).toEqual([]);
    },
    { auto: true },
  ],
});
