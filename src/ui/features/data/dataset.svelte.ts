/** The dataset that is chosen: a built-in one, a file, or pasted text. */
import type { DataService, DatasetRef, PastedText, TabRef } from '../../../protocol/data';
import { claimTab, openTabs } from '../../client/tab';
import type { Workers } from '../../client/workers';
import { isFlag, loadTabSetting, saveTabSetting } from '../../persisted';

export const TITLE_FEES: DatasetRef = { id: 'builtin/title-fees', name: 'title-fees', content: 'builtin' };

const PASTED = 'pasted/';

/** Characters of a text that can be edited on the page: a field lays all of it out anew with each key. */
export const LONGEST_EDITED = 50_000;

// What is drawn of the last visit before the worker has told the rest of it, so that nothing moves when that comes.
const FIELD_OPEN = 'text-field-open';
const OWN_DATA = 'own-data';

export class DatasetState {
  ref = $state.raw<DatasetRef>(TITLE_FEES);

  /** The field for text is open. */
  private isOpen = $state(loadTabSetting(FIELD_OPEN, false, isFlag));
  /** What is in it: another one with each change. It stays, over a reload too. */
  private typed = $state.raw<PastedText>({ text: '' });
  /** It is shown by its beginning; never while somebody types it. */
  isLong = $state(false);
  /** What was chosen and typed at the last visit is back. */
  isRestored = $state(false);
  private readonly wasOwn = loadTabSetting(OWN_DATA, false, isFlag);
  /** The text that is the dataset; undefined while the dataset is another. */
  private used = $state.raw<string>();

  /** Which files that were given with the dataset are not used, in a sentence. */
  leftOut = $state.raw<string>();

  /** Which columns have still to be chosen, in a sentence, where some are and the others aren't. */
  halfMapped = $state<string>();

  /** Set once the visitor has chosen: a restore comes too late, then. */
  private isChosen = $state(false);
  /** Set once the visitor has written in the field. */
  private isTyped = false;
  private isKeeping = false;

  constructor(private readonly workers: Workers) {}

  async restore(): Promise<void> {
    const typed = this.restoreTyped();
    try {
      await this.restoreChosen(typed);
    } finally {
      await typed;
      this.isRestored = true;
      saveTabSetting(OWN_DATA, !this.isBuiltin);
    }
  }

  /** Returns whether a text was kept, an empty one too. */
  private async restoreTyped(): Promise<boolean> {
    const typed = await this.ask((data, tab) => data.recallText(tab)).catch(() => null);
    if (typed && !this.isTyped) this.showText(typed);
    return typed !== null;
  }

  private async restoreChosen(typed: Promise<boolean>): Promise<void> {
    const open = await openTabs();
    const ref = await this.ask((data, tab) => data.recall(tab, open));
    if (!ref) return;
    const pasted = ref.id.startsWith(PASTED) && ref.content !== 'builtin' ? ref.content : undefined;
    const used = await pasted?.text().catch(() => undefined); // whoever reads it as data says why
    if (this.isChosen) return;
    this.ref = ref;
    this.used = used;
    // Of an earlier version, which kept no text beside the dataset.
    if (used !== undefined && !(await typed) && !this.isTyped) this.showText({ text: used });
  }

  private showText(typed: PastedText): void {
    this.typed = typed;
    this.isLong = typed.text.length > LONGEST_EDITED;
  }

  get pasting(): boolean {
    return this.isOpen;
  }

  set pasting(isOpen: boolean) {
    this.isOpen = isOpen;
    saveTabSetting(FIELD_OPEN, isOpen);
  }

  get pasted(): string {
    return this.typed.text;
  }

  set pasted(text: string) {
    this.isTyped = true;
    // As fields for text have line breaks: the same rows, wherever and however long a text was pasted.
    this.typed = { text: text.replace(/\r\n?/g, '\n') };
    if (text === '') this.isLong = false;
    if (!this.isKeeping) void this.keepTyped();
  }

  useBuiltin(): void {
    if (this.isOwn) this.set(TITLE_FEES);
    else this.isChosen = true;
    this.pasting = false;
  }

  /** One of them: a dataset is one file, and of the others it is said. */
  useFiles([file, ...others]: readonly File[]): void {
    if (!file) return;
    this.set({ id: crypto.randomUUID(), name: file.name, content: file });
    if (others.length > 0) {
      const rest = others.length === 1 ? `${others[0]!.name} is` : `the other ${others.length} are`;
      this.leftOut = `Data are one file: ${file.name} is in use, and ${rest} not.`;
    }
    this.pasting = false;
  }

  /** The field stays open: whoever pastes may paste more. */
  usePasted(): void {
    const content = new Blob([this.pasted], { type: 'text/plain' });
    this.set({ id: `${PASTED}${crypto.randomUUID()}`, name: 'pasted.txt', content });
    this.used = this.pasted;
    this.isLong = this.pasted.length > LONGEST_EDITED;
  }

  /** Puts a text in place of what stands in the field, and uses it. */
  useText(text: string): void {
    this.pasting = true;
    this.pasted = text;
    this.usePasted();
  }

  /** A pasted text is the dataset. */
  get isPasted(): boolean {
    return this.used !== undefined;
  }

  /** Text stands in the field, and was not used: nobody means the data from before, then. */
  get hasUnusedText(): boolean {
    return this.pasting && this.pasted.trim() !== '' && this.pasted !== this.used;
  }

  get isBuiltin(): boolean {
    return this.ref.content === 'builtin';
  }

  /** The visitor's own data are chosen, or were and are on their way back. */
  get isOwn(): boolean {
    return !this.isBuiltin || (this.wasOwn && !this.isRestored && !this.isChosen);
  }

  private set(ref: DatasetRef): void {
    this.isChosen = true;
    this.ref = ref;
    this.used = undefined;
    this.leftOut = undefined;
    saveTabSetting(OWN_DATA, !this.isBuiltin);
    // A full disk only means that a reload begins with the built-in set.
    this.ask((data, tab) => data.remember(tab, ref)).catch(() => undefined);
  }

  /** Keeps what is typed, one write after another: what comes meanwhile is in the next. */
  private async keepTyped(): Promise<void> {
    this.isKeeping = true;
    for (let kept: PastedText | undefined; kept !== this.typed;) {
      const now = this.typed;
      await this.ask((data, tab) => data.rememberText(tab, now)).catch(() => undefined);
      kept = now;
    }
    this.isKeeping = false;
  }

  /** Asks the worker for what it keeps of this tab. */
  private async ask<T>(call: (data: DataService, tab: TabRef) => Promise<T>): Promise<T> {
    const tab = await claimTab();
    return this.workers.text.call((worker) => call(worker.data, tab));
  }
}
