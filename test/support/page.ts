/** The page as a test drives it: by the same controls that a visitor has. */
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { AxeResults } from 'axe-core';
import type { Locator, Page } from 'playwright-core';
import type { serveSite } from './site.mjs';
import { tinyRows, writeTinyModel } from './tiny-model';

export type Site = Awaited<ReturnType<typeof serveSite>>;

export class GraftPage {
  constructor(readonly page: Page) {}

  /** Opens the page and waits until everything of the last visit is back. */
  static async open(page: Page, site: Site): Promise<GraftPage> {
    const graft = new GraftPage(page);
    await page.goto(site.url);
    await graft.at('data-facts').locator('dd').first().or(graft.at('data-error')).waitFor();
    return graft;
  }

  at(testid: string): Locator {
    return this.page.getByTestId(testid);
  }

  /** Goes to a place by its link in the frame, where the visitor isn't there already. */
  private async goTo(place: 'workbench' | 'models' | 'runs' | 'settings', sign: Locator): Promise<void> {
    if (await sign.isVisible()) return;
    await this.at(`place-${place}`).click();
    await sign.waitFor();
  }

  openWorkbench(): Promise<void> {
    return this.goTo('workbench', this.at('start'));
  }

  openModels(): Promise<void> {
    return this.goTo('models', this.page.getByRole('heading', { level: 1, name: 'Models', exact: true }));
  }

  openRuns(): Promise<void> {
    return this.goTo('runs', this.page.getByRole('heading', { level: 1, name: 'Runs', exact: true }));
  }

  openSettings(): Promise<void> {
    return this.goTo('settings', this.at('hub-access'));
  }

  /** Opens the newest run, where none is open. */
  async openRun(): Promise<void> {
    if (await this.at('status').isVisible()) return;
    await this.openRunAt(0);
  }

  /** Opens the run at a place of the list, the newest being the first. */
  async openRunAt(index: number): Promise<void> {
    await this.openRuns();
    await this.at('run-link').nth(index).click();
    await this.at('status').waitFor(); // the run's page is loaded when it is first shown
  }

  /** Opens a part of the run that is open, or of the newest. */
  async openPart(part: 'Overview' | 'Chat' | 'Evaluate' | 'Settings' | 'Files'): Promise<void> {
    await this.openRun();
    const link = this.page.getByRole('navigation', { name: 'Parts of the run' }).getByRole('link', { name: part });
    if ((await link.getAttribute('aria-current')) !== 'page') await link.click();
    await this.page.getByRole('heading', { level: 2, name: part }).waitFor();
  }

  /** Opens the conversation with the base model alone. */
  async openBaseChat(): Promise<void> {
    await this.openModels();
    await this.page.getByRole('link', { name: 'Talk to it' }).click();
    await this.at('chat-input').waitFor();
  }

  /** Opens a tiny random model from a folder of the disk, with pre-tokenised rows to train on. */
  async useTinyModel(rows = 12): Promise<void> {
    const folder = join(await mkdtemp(join(tmpdir(), 'graft-')), 'tiny');
    await writeTinyModel(folder);
    await this.useFolder(folder);
    await this.page.getByTestId('model-name').getByText('tiny', { exact: true }).waitFor();
    await this.useData('rows.jsonl', tinyRows(rows));
    await this.at('data-facts').getByText('tokens', { exact: true }).waitFor();
  }

  /** Opens the steps of the workbench, which a narrow screen folds. */
  async unfoldSteps(): Promise<void> {
    await this.openWorkbench();
    const folded = this.page.locator('main section h2 button[aria-expanded=false]');
    while ((await folded.count()) > 0) await folded.first().click();
  }

  /** Opens a model's folder of the disk. */
  async useFolder(folder: string): Promise<void> {
    await this.openModels();
    await this.at('model-folder').setInputFiles(folder);
  }

  async useData(name: string, text: string): Promise<void> {
    await this.openWorkbench();
    await this.at('dataset-file').setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(text) });
    await this.at('dataset-name').getByText(name, { exact: true }).waitFor();
  }

  /** Types a run file into its field and takes it. */
  async useRunFile(yaml: string): Promise<void> {
    await this.openWorkbench();
    const field = this.at('run-file');
    if (!(await field.isVisible())) await this.page.getByText('All of it as a file').click();
    await field.fill(yaml);
    await this.at('run-file-apply').click();
  }

  /** Types into the field of a setting and leaves it. */
  async setting(key: string, text: string): Promise<void> {
    await this.openWorkbench();
    const field = this.page.locator(`#setting-${key}`);
    await field.fill(text);
    await field.press('Tab');
  }

  async start(): Promise<void> {
    await this.openWorkbench();
    await this.at('start').click();
    await this.at('status').or(this.at('start-error')).first().waitFor({ timeout: 60_000 });
  }

  /** Waits until the run that is open is in this state. */
  async state(state: 'running' | 'finished' | 'cancelled' | 'failed' | 'interrupted'): Promise<void> {
    await this.page.locator(`[data-testid=status][data-state=${state}]`).waitFor({ timeout: 120_000 });
  }

  /** Waits until a step is done, and returns its number. */
  async firstStep(): Promise<void> {
    await this.page.locator('[data-testid=step]', { hasText: /^[1-9]/ }).waitFor({ timeout: 120_000 });
  }

  /** Downloads one file of the open run. */
  async download(name: string): Promise<Buffer> {
    await this.openPart('Files');
    const button = this.page.getByRole('button', { name: `Download ${name}` });
    const [download] = await Promise.all([this.page.waitForEvent('download'), button.click()]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }
}

/** Kills the tab's renderer, worker and all, as a crash would. */
export async function crash(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent('crash');
  session.send('Page.crash').catch(() => undefined); // it never answers
  await crashed;
  await page.close();
}

/** Everything that axe finds, as rule and markup. */
export async function axeViolations(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync('node_modules/axe-core/axe.min.js', 'utf8'));
  const results = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run());
  return results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}

/** How far things moved by themselves since the page was loaded, as Chromium counts it: runs in the page. */
export const layoutShift = () =>
  new Promise<number>((resolve) => {
    let sum = 0;
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
        if (!entry.hadRecentInput) sum += entry.value;
      }
    });
    observer.observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(sum), 200);
  });

/** One picture of everything: in a window as tall as the page, so that what sticks to its edges is there once. */
export async function screenshotWhole(page: Page, path: string): Promise<void> {
  const { width, height } = page.viewportSize()!;
  const whole = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width, height: whole });
  await mkdir(dirname(path), { recursive: true });
  await page.screenshot({ path });
  await page.setViewportSize({ width, height });
}
