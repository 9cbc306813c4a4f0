/** The built page in headless Firefox, with WebGPU on Mesa's CPU driver, driven by WebDriver BiDi. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, type Browser, type ElementHandle, type Page } from 'puppeteer-core';
import { findFirefox, lavapipeEnvironment } from './drivers.mjs';

/** What Firefox keeps back on Linux, and downloads that ask nobody. */
const preferences = (downloads: string) => ({
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  'browser.download.folderList': 2,
  'browser.download.dir': downloads,
  'browser.download.alwaysOpenPanel': false,
});

/** Milliseconds that anything may take: a kernel is compiled at its first dispatch. */
const PATIENCE = 240_000;

export class Firefox {
  private constructor(
    readonly page: Page,
    /** What went wrong on the page: console errors and uncaught exceptions. */
    readonly problems: readonly string[],
    private readonly browser: Browser,
    private readonly downloads: string,
  ) {}

  static async launch(): Promise<Firefox> {
    const executablePath = findFirefox();
    if (!executablePath) throw new Error('There is no Firefox here: run `npm test` once, or set FIREFOX_PATH.');
    const downloads = mkdtempSync(join(tmpdir(), 'graft-firefox-'));
    const browser = await launch({
      browser: 'firefox',
      executablePath,
      headless: true,
      extraPrefsFirefox: preferences(downloads),
      env: { ...process.env, ...lavapipeEnvironment() },
    });
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.setViewport({ width: 1280, height: 900 });
    const problems: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(String(error)));
    return new Firefox(page, problems, browser, downloads);
  }

  async close(): Promise<void> {
    await this.browser.close();
    rmSync(this.downloads, { recursive: true, force: true });
  }

  /** The element of this test id, once it can be seen. */
  async at(testid: string): Promise<ElementHandle> {
    const element = await this.page.waitForSelector(`[data-testid=${testid}]`, { visible: true });
    return element!;
  }

  async text(testid: string): Promise<string> {
    return (await this.at(testid)).evaluate((element) => (element as HTMLElement).innerText);
  }

  /** Clicks when the element is there, enabled and at rest, as a visitor would. */
  async click(selector: string): Promise<void> {
    await this.page.locator(selector).click();
  }

  /** Opens a part of the run that is shown. */
  async openPart(part: 'Chat' | 'Files'): Promise<void> {
    await this.click(`nav[aria-label="Parts of the run"] ::-p-text(${part})`);
  }

  /** Writes into a field and leaves it. */
  async fill(testid: string, text: string): Promise<void> {
    await this.page.locator(`[data-testid=${testid}]`).fill(text);
    await this.page.keyboard.press('Tab');
  }

  /** Waits until the run that is shown is in this state. */
  async state(state: 'running' | 'finished'): Promise<void> {
    await this.page.waitForSelector(`[data-testid=status][data-state=${state}]`);
  }

  /** Downloads one file of the run whose files are shown. */
  async download(name: string): Promise<Buffer> {
    await this.click(`button[aria-label="Download ${name}"]`);
    const path = join(this.downloads, name);
    const isWhole = () => existsSync(path) && statSync(path).size > 0 && !existsSync(`${path}.part`);
    for (const end = Date.now() + PATIENCE; !isWhole(); await sleep(50)) {
      if (Date.now() > end) throw new Error(`${name} was not downloaded.`);
    }
    return readFileSync(path);
  }
}
