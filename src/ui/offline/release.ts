/** What the page and its service worker agree on. */

/** A build of the page, as its service worker keeps it. Paths are relative to the page's folder. */
export interface Release {
  /** Of everything in it. */
  readonly version: string;
  /** The script that the page begins with. */
  readonly entry: string;
  /** Each file but the page itself, with the hash that it must have, as `integrity` of a request. */
  readonly files: Readonly<Record<string, string>>;
  /** Folders that are kept whole: what isn't in `files` isn't there. */
  readonly folders: readonly string[];
}

/** What a page says to a service worker that waits. */
export const TAKE_OVER = 'take over';

/** The folder that a page is in: ends with a slash. */
export function folderOf(page: string): string {
  return new URL('.', page).href;
}

/** Held by every tab whose page began with this script: its other scripts may still be asked for. */
export function pageLock(entry: string | URL): string {
  return `graft page ${new URL(entry).href}`;
}

/** Held by every tab that trains, of the page in this folder. */
export function trainingLock(folder: string): string {
  return `graft training ${folder}`;
}

/** The name of the cache that a release is kept in. */
export function cacheName(folder: string, { version, entry }: Release): string {
  return `graft ${folder} ${version} ${entry}`;
}

/** The entry of the release that a cache keeps; undefined where it isn't one of the page in this folder. */
export function entryOfCache(name: string, folder: string): string | undefined {
  const [kind, where, , entry] = name.split(' '); // an address has no spaces
  return kind === 'graft' && where === folder ? entry : undefined;
}
