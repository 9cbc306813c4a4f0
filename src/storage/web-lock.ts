/** One writer at a time across tabs, and readers that are not deleted under: Web Locks, which die with their tab. */
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

/**
 * Keeps what `name` stands for from being deleted until what is returned is called; many may at once.
 * @throws `storage` with `gone` as its sentence while it is being deleted
 */
export async function leaseOf(name: string, gone: string): Promise<() => void> {
  const letGo = await takeLock(leaseLock(name), 'shared');
  if (!letGo) throw new GraftError('storage', gone);
  return letGo;
}

/**
 * Runs `action`, a deletion, while nobody has a lease.
 * @throws `storage` with `busy` as its sentence where somebody has one
 */
export function withoutLeases<T>(name: string, busy: string, action: () => Promise<T>): Promise<T> {
  return withLock(leaseLock(name), busy, action);
}

function leaseLock(name: string): string {
  return `${name}.read`;
}

/** Names of the locks that some tab holds now. */
export async function heldLocks(): Promise<Set<string>> {
  const { held } = await navigator.locks.query();
  return new Set((held ?? []).flatMap(({ name }) => (name === undefined ? [] : [name])));
}
