/** The page without a connection, and a newer version of it: on a plain static host, below a path of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { serveBareSite } from '../support/bare-site';
import { test as base } from '../support/browser';
import { serveSite } from '../support/site.mjs';
import { HUB_RUN, HubPage, SMALL_MODEL } from '../support/hub-page';
import { axeViolations } from '../support/page';
import { deployRelease } from '../support/release';
import { shardedModel } from '../support/sharded-model';
import { StandInHub } from '../support/stand-in-hub';

const test = base.extend({ contextOptions: { serviceWorkers: 'allow' } });

const FEW_STEPS = 'max_train_samples: 4\nmax_steps: 3\nmax_length: 64\nlora_r: 4\n';
const MANY_STEPS = FEW_STEPS.replace('max_steps: 3', 'max_steps: 2000');

const releaseOf = (page: Page) => page.evaluate(() => document.documentElement.dataset['release']);
const cacheCount = (page: Page) => page.evaluate(async () => (await caches.keys()).length);

test('a page that was visited opens, trains and takes a newer version when nobody trains', async ({
  page,
  problems,
  onTestFinished,
}) => {
  const hub = await StandInHub.start();
  hub.add(SMALL_MODEL, await shardedModel());
  const hosts: [string, string] = [hub.url, hub.cdnUrl];
  const folder = mkdtempSync(join(tmpdir(), 'graft-release-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  await deployRelease(folder, 'one', hosts);
  let site = await serveBareSite({ folder, base: '/some/place/' });
  onTestFinished(() => site.close());

  const graft = await HubPage.open(page, site);
  await graft.openHub();
  await graft.useRunFile(HUB_RUN);
  await graft.fetchWeights();
  await graft.openSettings();
  await graft.at('kept-page').getByText('open without a connection').waitFor();

  // No connection any more: neither to the page's own host nor to the Hub.
  await site.close();
  await hub.close();
  await page.reload();
  await graft.at('place-workbench').waitFor();
  expect(await page.evaluate(() => fetch('https://example.com/').then(String, String))).toContain('Failed to fetch');
  expect(problems.splice(0).join('\n')).toContain('connect-src'); // the policy in the page holds
  await graft.openModels();
  await graft.at('use-starter').click();
  await graft.useRunFile(FEW_STEPS);
  await graft.start();
  await graft.state('finished');
  await graft.openHub();
  await graft.useRunFile(HUB_RUN);
  await graft.kept('all');
  await graft.start();
  await graft.state('finished');
  problems.splice(0); // of the Hub, which can't be asked

  // A newer version, of which no script has its old name, comes while a run trains.
  await graft.openModels();
  await graft.at('use-starter').click();
  await graft.useRunFile(MANY_STEPS);
  await graft.start();
  await graft.firstStep();
  const other = await page.context().newPage();
  await other.goto(site.url);
  await other.getByTestId('place-runs').waitFor();
  await deployRelease(folder, 'two', hosts);
  site = await serveBareSite({ folder, base: '/some/place/', port: site.port });
  await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.update();
    const { installing } = registration;
    if (installing) await new Promise((done) => installing.addEventListener('statechange', done));
  });
  expect(await page.evaluate(async () => (await navigator.serviceWorker.ready).waiting !== null)).toBe(true);
  await graft.openPart('Settings'); // its script was not loaded before
  await graft.state('running');
  expect(await graft.at('update').count()).toBe(0);
  expect(await other.getByTestId('update').count()).toBe(0);
  await graft.at('cancel').click();
  await graft.state('cancelled');

  await graft.at('update').waitFor();
  expect(await releaseOf(page)).toBe('one');
  for (const width of [360, 1360]) {
    await page.setViewportSize({ width, height: 800 });
    expect(await axeViolations(page)).toEqual([]);
  }
  await graft.at('update').getByRole('button', { name: 'Use the new version' }).click();
  await expect.poll(() => releaseOf(page).catch(() => undefined), { timeout: 20_000 }).toBe('two');
  await graft.state('cancelled');

  // The other tab has the old version still, and what that needs.
  expect(await releaseOf(other)).toBe('one');
  await other.getByTestId('place-models').click();
  await other.getByRole('heading', { level: 1, name: 'Models', exact: true }).waitFor();
  expect(await cacheCount(page)).toBe(2);
  await other.close();
  const countAtNextVisit = async () => {
    await page.reload();
    return cacheCount(page);
  };
  await expect.poll(countAtNextVisit, { timeout: 20_000 }).toBe(1); // the other tab takes a moment to end
});

test('what is kept of the page keeps its headers, and other hosts make it another version', async ({
  page,
  site,
  problems,
}) => {
  await page.goto(site.url);
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await page.reload();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  const header = (name: string) =>
    page.evaluate((key) => fetch(location.href).then(({ headers }) => headers.get(key)), name);
  expect(await header('content-security-policy')).toContain("frame-ancestors 'none'");
  // What the page's folders don't have isn't there, with a connection or without one.
  expect(await page.evaluate(() => fetch('models/starter/nothing.json').then(({ status }) => status))).toBe(404);
  expect(problems.splice(0).join('\n')).toContain('404');

  const workerOf = async (url: string) => (await fetch(`${url}service-worker.js`)).text();
  const other = await serveSite({ GRAFT_CONNECT_HOSTS: 'https://mirror.example' });
  const [own, others] = [await workerOf(site.url), await workerOf(other.url)];
  await other.close();
  expect(others).not.toBe(own);
  expect(others.length).toBe(own.length);
});
