/** Requests that held the text worker up until it was ended: not tried again, after a reload either. */
import { loadSetting, saveSetting } from '../persisted';

const SETTING = 'hung-requests';
/** Requests that are remembered; the oldest is forgotten first. */
const MOST = 20;

type Entry = [key: string, reason: string];

export class HungRequests {
  private entries: Entry[] = loadSetting<Entry[]>(SETTING, [], isEntries);

  /** Why a request is refused, in a sentence; undefined where it is not. */
  reasonFor(key: string | undefined): string | undefined {
    return this.entries.find(([known]) => known === key)?.[1];
  }

  add(key: string | undefined, reason: string): void {
    if (key === undefined) return;
    this.save([...this.entries.filter(([known]) => known !== key), [key, reason] satisfies Entry].slice(-MOST));
  }

  clear(): void {
    if (this.entries.length > 0) this.save([]);
  }

  private save(entries: Entry[]): void {
    this.entries = entries;
    saveSetting(SETTING, entries);
  }
}

function isEntries(value: unknown): value is Entry[] {
  return (
    Array.isArray(value) &&
    value.every(
      (entry) => Array.isArray(entry) && entry.length === 2 && entry.every((part) => typeof part === 'string'),
    )
  );
}
