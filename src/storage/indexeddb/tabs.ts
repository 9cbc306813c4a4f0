/** What each tab of the page has open: its dataset, and what stands in its field for pasted text. */
import type { IDBPObjectStore } from 'idb';
import * as v from 'valibot';
import { GraftError } from '../../core/errors';
import { guard, type Database, type Schema } from './database';

const TABS = 'tabs';
/** Of an earlier version, which kept one of each for all tabs. */
const EARLIER_DATASET = 'dataset';
const EARLIER_TEXT = 'pasted';

/**
 * Closed tabs of which it is kept. One that is being reloaded is closed for a moment, and a browser that is opened again
 * loads its tabs one by one, as they are looked at.
 */
const CLOSED_KEPT = 8;

const Dataset = v.object({
  id: v.string(),
  name: v.string(),
  content: v.union([v.literal('builtin'), v.instance(Blob)]),
});
const PastedText = v.object({ text: v.string() });
const Tabs = v.array(v.object({ name: v.string(), dataset: v.optional(v.string()) }));

/** The dataset that a tab had open: a built-in one, or a file of the user's own. */
export type RememberedDataset = v.InferOutput<typeof Dataset>;
type Text = v.InferOutput<typeof PastedText>;

/** A tab of the browser and, where it is a duplicate, the one that it was made of. */
interface TabRef {
  readonly name: string;
  readonly origin?: string;
}

/** What is kept of a tab: the key of its dataset, too. */
interface Tab {
  readonly name: string;
  dataset?: string | undefined;
}

type Store = IDBPObjectStore<Schema, ['workspace'], 'workspace', 'readwrite'>;

const textKey = (tab: string) => `pasted ${tab}`;

export class TabStore {
  constructor(private readonly database: Database) {}

  /**
   * Of a tab that is new, what its origin had, or the one that was used last. `open` are the tabs that there are: of the others it is
   * forgotten by and by.
   * @throws `storage`, once, where it is damaged: it is forgotten
   */
  async dataset(ref: TabRef, open: readonly string[]): Promise<RememberedDataset | undefined> {
    const found = await this.change(ref, async (tab, store, tabs) => {
      await forgetOthers(store, tabs, open);
      const value: unknown = tab.dataset === undefined ? undefined : await store.get(tab.dataset);
      if (value === undefined) return undefined;
      const read = v.safeParse(Dataset, value);
      if (read.success) return read.output;
      await store.delete(tab.dataset!);
      tab.dataset = undefined;
      return 'damaged';
    });
    if (found !== 'damaged') return found;
    throw new GraftError(
      'storage',
      'The dataset that was open here before is damaged in this browser, and is forgotten: open it again.',
    );
  }

  /** A dataset that several tabs have is stored once. */
  async setDataset(ref: TabRef, dataset: RememberedDataset): Promise<void> {
    await this.change(ref, async (tab, store, tabs) => {
      const before = tab.dataset;
      tab.dataset = `dataset ${dataset.id}`;
      if (before !== tab.dataset) await store.put(dataset, tab.dataset);
      if (before !== undefined && !tabs.some((other) => other.dataset === before)) await store.delete(before);
    });
  }

  /** What stood in the field for pasted text, as `dataset`; what is damaged is as good as none. */
  pastedText(ref: TabRef): Promise<Text | undefined> {
    return this.change(ref, async ({ name }, store) => {
      const read = v.safeParse(PastedText, await store.get(textKey(name)));
      return read.success ? read.output : undefined;
    });
  }

  async setPastedText(ref: TabRef, typed: Text): Promise<void> {
    await this.change(ref, async ({ name }, store) => {
      await store.put(typed, textKey(name));
    });
  }

  /** Changes what is kept of a tab, in one go: another tab may do the same. The newest comes first. */
  private change<T>(ref: TabRef, act: (tab: Tab, store: Store, tabs: Tab[]) => Promise<T>): Promise<T> {
    return guard('remember what is open', async () => {
      const transaction = this.database.transaction(['workspace'], 'readwrite');
      const store = transaction.objectStore('workspace');
      const kept = await store.get(TABS);
      const read = v.safeParse(Tabs, kept);
      const known: Tab[] = read.success ? read.output : [];
      const tab = known.find(({ name }) => name === ref.name) ?? (await offer(store, ref, known));
      const tabs = [tab, ...known.filter(({ name }) => name !== ref.name)];
      const result = await act(tab, store, tabs);
      // On a full disk what is only read still comes.
      if (JSON.stringify(tabs) !== JSON.stringify(kept)) await store.put(tabs, TABS);
      await transaction.done;
      return result;
    });
  }
}

/** A new tab has what its origin or the last one had. */
async function offer(store: Store, { name, origin }: TabRef, known: readonly Tab[]): Promise<Tab> {
  const last = known.find((other) => other.name === origin) ?? known[0];
  const text = await store.get(last ? textKey(last.name) : EARLIER_TEXT);
  if (text !== undefined) await store.put(text, textKey(name));
  if (last) return { name, dataset: last.dataset };
  await store.delete(EARLIER_TEXT);
  return { name, dataset: EARLIER_DATASET };
}

/** Forgets what closed tabs had, but of the last. */
async function forgetOthers(store: Store, tabs: Tab[], open: readonly string[]): Promise<void> {
  const old = tabs.filter(({ name }) => !open.includes(name)).slice(CLOSED_KEPT);
  for (const tab of old) {
    tabs.splice(tabs.indexOf(tab), 1);
    await store.delete(textKey(tab.name));
    const { dataset } = tab;
    if (dataset !== undefined && !tabs.some((other) => other.dataset === dataset)) await store.delete(dataset);
  }
}
