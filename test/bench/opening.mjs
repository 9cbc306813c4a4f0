/**
 * How long the built page takes until it can be used: `node test/bench/opening.mjs [ADDRESS …]` visits it, or the pages
 * that are served at these addresses in turn, six times in a fresh profile, and reloads each visit once. It fails where a
 * click at that moment starts no run, or the median is above 1.2 s.
 */
import { launchBrowser, serveSite } from '../support/site.mjs';

const VISITS = 6;
const LIMIT = 1200;

/**
 * Runs in the page before its own scripts: notes when the workbench has been drawn with its draft, and both buttons that
 * start it take a click.
 */
function noteUsable() {
  const isUsable = () => {
    const starts = [...document.querySelectorAll('[data-testid=quick-start], [data-testid=start]')];
    const facts = document.querySelector('[data-testid=data-facts][data-whole=true]:not(.away) dd');
    return facts !== null && starts.length > 0 && starts.every((button) => !button.matches(':disabled'));
  };
  const observer = new MutationObserver(() => {
    if (!isUsable()) return;
    observer.disconnect();
    // Not before it is on the screen: what follows a frame's callbacks is its paint.
    requestAnimationFrame(() => setTimeout(() => performance.mark('usable')));
  });
  observer.observe(document, { subtree: true, childList: true, attributes: true });
}

/** Runs in the page: milliseconds from the navigation to each of these, and the longest tasks on the way. */
function readTimes() {
  const [usable] = performance.getEntriesByName('usable');
  if (!usable) return undefined;
  const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0;
  return new Promise((resolve) => {
    new PerformanceObserver((list, observer) => {
      observer.disconnect();
      const tasks = list.getEntries().filter(({ startTime }) => startTime < usable.startTime);
      resolve({ paint, usable: usable.startTime, longest: Math.max(0, ...tasks.map(({ duration }) => duration)) });
    }).observe({ type: 'longtask', buffered: true });
    setTimeout(() => resolve({ paint, usable: usable.startTime, longest: 0 }), 500); // there was none
  });
}

/** @param {import('playwright-core').Page} page @returns {Promise<{ paint: number, usable: number, longest: number }>} */
async function timesOf(page) {
  const found = await page.waitForFunction(readTimes, undefined, { timeout: 60_000 });
  return /** @type {Promise<{ paint: number, usable: number, longest: number }>} */ (found.jsonValue());
}

/** @param {import('playwright-core').Browser} browser */
async function openProfile(browser) {
  const context = await browser.newContext();
  await context.addInitScript(noteUsable);
  return { context, page: await context.newPage() };
}

/** Whether a click at the moment that is measured starts a run. @param {import('playwright-core').Browser} browser @param {string} url */
async function isReallyUsable(browser, url) {
  const { context, page } = await openProfile(browser);
  try {
    await page.goto(url);
    await page.evaluate(
      () =>
        new Promise((resolve) => {
          new PerformanceObserver(() => {
            /** @type {HTMLElement | null} */ (document.querySelector('[data-testid=start]'))?.click();
            resolve(undefined);
          }).observe({ type: 'mark', buffered: true });
        }),
    );
    await page.locator('[data-testid=step]', { hasText: /^[1-9]/ }).waitFor({ timeout: 120_000 });
    return true;
  } catch (error) {
    console.log(String(error));
    return false;
  } finally {
    await context.close();
  }
}

/** @param {number[]} values */
function describe(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = ((sorted[Math.floor(middle - 0.5)] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2;
  const [least, most] = [sorted[0] ?? NaN, sorted.at(-1) ?? NaN];
  return { median, words: `${median.toFixed(0)} ms (${least.toFixed(0)} to ${most.toFixed(0)})` };
}

const given = process.argv.slice(2);
const site = given.length === 0 ? await serveSite() : undefined;
const addresses = site ? [site.url] : given;
const browser = await launchBrowser();
/** @type {Map<string, { paint: number, usable: number, longest: number }[]>} */
const visits = new Map();
let ok = true;
try {
  for (const url of addresses) {
    const isUsable = await isReallyUsable(browser, url);
    if (!isUsable) console.log(`${url}: a click started NO run`);
    ok &&= isUsable;
  }
  for (let visit = 0; visit < VISITS; visit++) {
    for (const url of addresses) {
      const { context, page } = await openProfile(browser);
      for (const kind of ['a fresh visit', 'a reload']) {
        if (kind === 'a reload') await page.reload();
        else await page.goto(url);
        const name = `${url}, ${kind}`;
        visits.set(name, [...(visits.get(name) ?? []), await timesOf(page)]);
        await page.waitForTimeout(3000); // until the GPU has been measured and the page is kept
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
  await site?.close();
}
for (const [name, times] of visits) {
  const usable = describe(times.map((time) => time.usable));
  const paint = describe(times.map((time) => time.paint));
  const longest = describe(times.map((time) => time.longest));
  ok &&= usable.median <= LIMIT;
  console.log(`${name}: usable after ${usable.words}, painted after ${paint.words}, longest task ${longest.words}`);
}
console.log(ok ? 'usable within 1.2 s' : 'NOT usable within 1.2 s');
process.exitCode = ok ? 0 : 1;
