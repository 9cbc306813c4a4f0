/** Who is told of a run's end, and who isn't. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EndNotice, type Notifier } from '../../../src/ui/features/runs/end-notice.svelte';

const kept = new Map<string, string>();
beforeEach(() => {
  kept.clear();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
});
afterEach(() => vi.unstubAllGlobals());

/** A browser whose visitor answers so when asked. */
class Browser implements Notifier {
  asked = 0;
  visible = false;
  readonly shown: string[] = [];
  constructor(
    private readonly answer: NotificationPermission,
    private current: NotificationPermission = 'default',
  ) {}
  permission = () => this.current;
  ask = () => {
    this.asked++;
    return Promise.resolve((this.current = this.answer));
  };
  isPageVisible = () => this.visible;
  show = (title: string, body: string) => void this.shown.push(`${title}: ${body}`);
}

describe('the end of a run', () => {
  test('is told to whoever asked for it and is elsewhere, in later visits too', async () => {
    const browser = new Browser('granted');
    const notice = new EndNotice(browser);
    notice.tell('run', 'over');
    expect([browser.asked, browser.shown]).toEqual([0, []]); // nobody has asked for it
    await notice.toggle();
    expect(notice.isOn).toBe(true);
    browser.visible = true;
    notice.tell('run', 'over');
    expect(browser.shown).toEqual([]);
    browser.visible = false;
    notice.tell('run', 'over');
    expect(browser.shown).toEqual(['run: over']);
    new EndNotice(browser).tell('next', 'over');
    expect(browser.shown).toEqual(['run: over', 'next: over']);
    await notice.toggle();
    notice.tell('run', 'over');
    expect(browser.shown).toHaveLength(2);
    expect(browser.asked).toBe(1);
  });

  test('is told to nobody where the browser refuses, which is said', async () => {
    const browser = new Browser('denied');
    const notice = new EndNotice(browser);
    await notice.toggle();
    expect([notice.isOn, notice.isRefused]).toEqual([false, true]);
    notice.tell('run', 'over');
    expect(browser.shown).toEqual([]);
  });

  test('is not promised where the question was closed', async () => {
    const notice = new EndNotice(new Browser('default'));
    await notice.toggle();
    expect([notice.isOn, notice.isRefused]).toEqual([false, false]);
  });

  test('fails nothing where notifications are shown from elsewhere alone, or not at all', async () => {
    const browser = new Browser('granted');
    browser.show = () => {
      throw new TypeError('Illegal constructor');
    };
    const notice = new EndNotice(browser);
    await notice.toggle();
    notice.tell('run', 'over');
    expect(new EndNotice().isAvailable).toBe(false); // Node has none
  });
});
