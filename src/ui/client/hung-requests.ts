/** Requests that held the text worker up until it was ended: not tried again, after a reload either. */
import { loadSetting, removeSetting, saveSetting } from '../persisted';

const SETTING = 'hung-requests';
/** Requests that are remembered; the oldest is forgotten first. */
const MOST = 20;

type Entry = [key: string, reason: string];

export class HungRequests {
  /** What a browser that refuses storage would not keep. */
  private unsaved: Entry[] = [];

  /** Why a request is refused, in a sentence; undefined where it is not. */
  reasonFor(key: string | undefined): string | undefined {
    return this.entries.find(([known]) => known === key)?.[1];
  }

  add(key: string | undefined, reason: string): void {
    if (key === undefined) return;
    const entries = [...this.entries.filter(([known]) => known !== key), [key, reason] satisfies Entry].slice(-MOST);
    saveSetting(SETTING, entries);
    this.unsaved = loadEntries().some(([known]) => known === key) ? [] : entries;
  }

  clear(): void {
    this.unsaved = [];
    if (this.entries.length > 0) removeSetting(SETTING);
  }

  /** Read anew each time: other tabs add what hung there. */
  private get entries(): Entry[] {
    return this.unsaved.length > 0 ? this.unsaved : loadEntries();
  }
}

function loadEntries(): Entry[] {
  return loadSetting<Entry[]>(SETTING, [], isEntries);
}

function isEntries(value: unknown): value is Entry[] {
  return (
    Array.isArray(value) &&
    value.every(
      (entry) => Array.isArray(entry) && entry.length === 2 && entry.every((part) => typeof part === 'string'),
    )
  );
}
