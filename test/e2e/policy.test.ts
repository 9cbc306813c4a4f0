/** The page's policy on a host that sends none of its headers: it holds on the page and in its workers. */
import { expect } from 'vitest';
import { serveBareSite } from '../support/bare-site';
import { test as base } from '../support/browser';
import { GraftPage, type Site } from '../support/page';
import { RecordingHost } from '../support/recording-host';

const test = base.extend<{ site: Site; stranger: RecordingHost }>({
  site: [
    // eslint-disable-next-line no-empty-pattern -- vitest reads a fixture's dependencies from this pattern
    async ({}, use) => {
      const site = await serveBareSite();
      await use(site);
      await site.close();
    },
    { scope: 'file' },
  ],
  // eslint-disable-next-line no-empty-pattern -- as above
  stranger: async ({}, use) => {
    const host = await RecordingHost.start();
    await use(host);
    await host.close();
  },
});

/** Whether a script may fetch from `url`, send a beacon there, or open a socket; also evaluates text as code. */
const tryEverything = async (url: string) => {
  const attempt = (action: () => unknown) =>
    Promise.resolve()
      .then(action)
      .then(
        () => true,
        () => false,
      );
  const socket = () =>
    new Promise<void>((open, fail) => {
      const opened = new WebSocket(url.replace('http', 'ws'));
      opened.onopen = () => open();
      opened.onerror = () => fail(new Error('refused'));
    });
  return {
    fetch: await attempt(() => fetch(url)),
    opaque: await attempt(() => fetch(url, { mode: 'no-cors' })),
    socket: await attempt(socket),
    // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call -- it must be refused
    code: await attempt(() => new Function('return 1')() as number),
    own: await attempt(() => fetch(location.origin)),
  };
};
const ONLY_ITS_OWN = { fetch: false, opaque: false, socket: false, code: false, own: true };

test('neither the page nor its worker reaches a foreign host', async ({ page, site, stranger, problems }) => {
  await GraftPage.open(page, site); // the data's facts come from the worker: it runs
  expect(
    await page.evaluate(() => fetch(location.href).then((answer) => answer.headers.has('content-security-policy'))),
  ).toBe(false);
  const [worker] = page.workers();
  expect(await page.evaluate(tryEverything, stranger.url)).toEqual(ONLY_ITS_OWN);
  expect(await worker!.evaluate(tryEverything, stranger.url)).toEqual(ONLY_ITS_OWN);
  expect(stranger.received).toEqual([]);
  problems.length = 0; // the browser logs each refusal
});
