/** A cache of ids by text that is bounded by the characters and ids that it holds. */

/** Shorter strings are copied by JavaScript engines, longer parts of a string keep the whole of it in memory. */
const COPIED_LENGTH = 13;

export class IdCache {
  private young = new Map<string, readonly number[]>();
  private old = new Map<string, readonly number[]>();
  private size = 0;

  /** `limit` is the most characters and ids of one of its two generations; the older one is dropped as a whole. */
  constructor(private readonly limit: number) {}

  get(text: string): readonly number[] | undefined {
    const found = this.young.get(text);
    if (found) return found;
    const kept = this.old.get(text);
    if (kept) this.set(text, kept);
    return kept;
  }

  set(text: string, ids: readonly number[]): void {
    const size = text.length + ids.length;
    if (size > this.limit / 4) return;
    if (this.size + size > this.limit) {
      this.old = this.young;
      this.young = new Map();
      this.size = 0;
    }
    this.size += size;
    this.young.set(text.length < COPIED_LENGTH ? text : detach(text), ids);
  }
}

/** The same text, without the longer one that it is a part of. */
function detach(text: string): string {
  return ` ${text}`.slice(1);
}
