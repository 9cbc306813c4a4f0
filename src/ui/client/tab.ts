/** What this tab is called where it keeps something for itself: the same after a reload, another in a duplicate of it. */

const KEY = 'graft.tab';
const LOCK = 'graft-tab ';

let name: string | undefined;

export function tabName(): string {
  name ??= claimName();
  return name;
}

/** The tabs that are open, this one too; where the browser doesn't say, this one alone. */
export async function openTabs(): Promise<string[]> {
  const own = tabName();
  const { held = [] } = (await navigator.locks?.query().catch(() => undefined)) ?? {};
  const others = held.flatMap(({ name = '' }) => (name.startsWith(LOCK) ? [name.slice(LOCK.length)] : []));
  return [...new Set([own, ...others])];
}

/**
 * While the tab is looked at its name is not among what a duplicate of it would get: that one has a name of its own, and
 * is offered what was used last.
 */
function claimName(): string {
  const own = readKept() ?? crypto.randomUUID();
  keep(undefined);
  addEventListener('pagehide', () => keep(own));
  addEventListener('pageshow', () => keep(undefined));
  document.addEventListener('visibilitychange', () => keep(document.hidden ? own : undefined));
  void navigator.locks
    ?.request(LOCK + own, { mode: 'shared' }, () => new Promise(() => undefined))
    .catch(() => undefined);
  return own;
}

function readKept(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined; // the browser refuses storage: there is nothing to come back to
  }
}

function keep(own: string | undefined): void {
  try {
    if (own === undefined) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, own);
  } catch {
    // As above.
  }
}
