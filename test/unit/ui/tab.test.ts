import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadTabSetting, saveTabSetting, isText } from '../../../src/ui/persisted';
import { LocalLocks } from '../../support/web-locks';

type Tab = typeof import('../../../src/ui/client/tab');

/** A document of a browser: its locks are let go when it is gone. */
class OpenPage {
  private release: () => void = () => undefined;
  private readonly gone = new Promise<void>((resolve) => (this.release = resolve));

  /** @param kept its sessionStorage */
  constructor(
    private readonly browser: LocalLocks,
    readonly kept: Map<string, string>,
  ) {}

  async open(): Promise<Tab> {
    vi.stubGlobal('sessionStorage', storageOf(this.kept));
    vi.stubGlobal('addEventListener', () => undefined);
    type Action = (lock: unknown) => Promise<unknown>;
    const request = (name: string, options: LockOptions, action: Action) =>
      this.browser.request(name, options, (lock) => Promise.race([action(lock), this.gone]));
    vi.stubGlobal('navigator', { locks: { request, query: () => this.browser.query() } });
    vi.resetModules();
    return import('../../../src/ui/client/tab');
  }

  close(): void {
    this.release();
  }
}

const storageOf = (kept: Map<string, string>) => ({
  getItem: (key: string) => kept.get(key) ?? null,
  setItem: (key: string, text: string) => void kept.set(key, text),
});

let browser: LocalLocks;
beforeEach(() => (browser = new LocalLocks()));
afterEach(() => vi.unstubAllGlobals());

test('a tab keeps its name over a reload and a crash, and a duplicate of it gets another', async () => {
  const page = new OpenPage(browser, new Map());
  const first = await (await page.open()).claimTab();
  expect(first).toEqual({ name: expect.stringMatching(/./) as string });

  // Nothing is told of a crash, nor before a page that is loaded again.
  page.close();
  const again = new OpenPage(browser, page.kept);
  expect(await (await again.open()).claimTab()).toEqual(first);

  const duplicate = new OpenPage(browser, new Map(again.kept));
  const tab = await duplicate.open();
  const second = await tab.claimTab();
  expect(second.origin).toBe(first.name);
  expect(second.name).not.toBe(first.name);
  expect((await tab.openTabs()).sort()).toEqual([first.name, second.name].sort());

  duplicate.close();
  const reloaded = new OpenPage(browser, duplicate.kept);
  expect(await (await reloaded.open()).claimTab()).toEqual({ name: second.name });
});

test('a browser without storage and locks has tabs with names, too', async () => {
  vi.resetModules();
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('navigator', {});
  const tab = await import('../../../src/ui/client/tab');
  expect(await tab.openTabs()).toEqual([(await tab.claimTab()).name]);
});

test('a setting is each tab’s own over a reload, and a new tab begins with that of the last one', () => {
  vi.stubGlobal('localStorage', storageOf(new Map()));
  const [a, b] = [new Map<string, string>(), new Map<string, string>()];
  const load = (kept: Map<string, string>) => {
    vi.stubGlobal('sessionStorage', storageOf(kept));
    return loadTabSetting('run', 'none', isText);
  };
  expect([load(a), load(b)]).toEqual(['none', 'none']);
  saveTabSetting('run', 'of b');
  expect(load(a)).toBe('none');
  saveTabSetting('run', 'of a');
  expect(load(b)).toBe('of b');
  expect(load(new Map())).toBe('of b'); // it came last
  expect(load(a)).toBe('of a');
  expect(load(new Map())).toBe('of a');
});
