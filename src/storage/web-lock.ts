/** One writer at a time across tabs: a Web Lock, which the browser releases when its tab dies. */
import { GraftError } from '../core/errors';

/**
 * Runs `action` while holding the lock.
 * @throws `storage` with `busy` as its sentence where another tab holds it.
 */
export function withLock<T>(name: string, busy: string, action: () => Promise<T>): Promise<T> {
  return navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (!lock) throw new GraftError('storage', busy);
    return action();
  });
}

/** Takes a lock without waiting: what lets go of it, or undefined where another tab, or this one, holds it. */
export function takeLock(name: string, mode: LockMode): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(name, { ifAvailable: true, mode }, (lock) => {
      if (!lock) return resolve(undefined);
      return new Promise<void>((letGo) => resolve(letGo));
    });
    held.catch(reject);
  });
}

/** Names of the locks that some tab holds now. */
export async function heldLocks(): Promise<Set<string>> {
  const { held } = await navigator.locks.query();
  return new Set((held ?? []).flatMap(({ name }) => (name === undefined ? [] : [name])));
}
