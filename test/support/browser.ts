/** The real page in headless Chromium, with WebGPU on SwiftShader: a vitest `test` whose fixtures open and close it. */
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { preview } from 'vite';
import { expect, test as base } from 'vitest';
import { findChromium } from './drivers.mjs';

const FLAGS = [
  '--enable-unsafe-webgpu', // WebGPU on an adapter that is on no allow list
  '--use-webgpu-adapter=swiftshader', // the same adapter on every machine
  '--no-sandbox', // test machines often run as root
  '--disable-background-networking',
];

export interface Site {
  /** Ends with a slash. */
  readonly url: string;
  close(): Promise<void>;
}

/** Serves dist/web on a free port, with the headers of `npm start`. Build it first: `npm run build`. */
export async function serveSite(): Promise<Site> {
  const server = await preview({ preview: { port: 0 }, logLevel: 'warn' });
  const address = server.httpServer.address();
  if (!address || typeof address === 'string') throw new Error('The preview server has no port.');
  return { url: `http://localhost:${address.port}/`, close: () => server.close() };
}

export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error('There is no Chromium here: run `npm test` once, or set CHROMIUM_PATH.');
  return chromium.launch({ executablePath, args: FLAGS });
}

/** Collects what must not happen on a page: console errors and warnings of a broken policy, uncaught exceptions. */
export function watchForProblems(page: Page): string[] {
  const problems: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  return problems;
}

interface Fixtures {
  site: Site;
  browser: Browser;
  /** Empty to give the page defaults; override with `test.override` or `test.extend`. */
  contextOptions: BrowserContextOptions;
  /** A fresh profile with one blank page. The test fails where anything lands in `problems`. */
  page: Page;
  /** What went wrong on the page so far; a test that provokes an error takes it out again. */
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
    const context = await browser.newContext(contextOptions);
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
