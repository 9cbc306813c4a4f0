/**
 * What this tab is called where it keeps something for itself: the same after a reload or a crash, another in a duplicate.
 * A duplicate comes with the name of the tab that it was made of, but that one holds the lock of the name.
 */
import type { TabRef } from '../../protocol/data';

const KEY = 'graft.tab';
const LOCK = 'graft-tab ';

/** Milliseconds until a name counts as another tab's: this one's own is free once the page before it is gone. */
const PATIENCE = 500;

let claimed: Promise<TabRef> | undefined;

export function claimTab(): Promise<TabRef> {
  claimed ??= claim();
  return claimed;
}

/** The tabs that are open, this one too; where the browser doesn't say, this one alone. */
export async function openTabs(): Promise<string[]> {
  const own = (await claimTab()).name;
  const { held = [] } = (await navigator.locks?.query().catch(() => undefined)) ?? {};
  const others = held.flatMap(({ name = '' }) => (name.startsWith(LOCK) ? [name.slice(LOCK.length)] : []));
  return [...new Set([own, ...others])];
}

async function claim(): Promise<TabRef> {
  const kept = readKept();
  const isOwn = kept !== undefined && (await hold(kept));
  const name = isOwn ? kept : crypto.randomUUID();
  if (!isOwn) await hold(name);
  keep(name);
  addEventListener('pageshow', () => keep(name)); // back from behind a page that took another
  return { name, ...(kept !== undefined && !isOwn && { origin: kept }) };
}

/** Holds the lock of a name until the page is gone; false where another tab does. */
function hold(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { locks } = navigator;
    if (!locks) return resolve(true);
    const signal = AbortSignal.timeout(PATIENCE);
    const held = locks.request(LOCK + name, { signal }, () => {
      resolve(true);
      return new Promise(() => undefined);
    });
    signal.addEventListener('abort', () => resolve(false)); // whether the browser answers or not
    held.catch(() => resolve(!signal.aborted)); // a browser that refuses all locks tells no duplicate
  });
}

function readKept(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined; // the browser refuses storage: there is nothing to come back to
  }
}

function keep(name: string): void {
  try {
    sessionStorage.setItem(KEY, name);
  } catch {
    // As above.
  }
}
