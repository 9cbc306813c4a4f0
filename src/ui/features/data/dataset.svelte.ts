/** The dataset that is chosen: a built-in one, a file, or pasted text. */
import type { DatasetRef, PastedText } from '../../../protocol/data';
import type { Workers } from '../../client/workers';

export const TITLE_FEES: DatasetRef = { id: 'builtin/title-fees', name: 'title-fees', content: 'builtin' };

const PASTED = 'pasted/';

export class DatasetState {
  ref = $state.raw<DatasetRef>(TITLE_FEES);

  /** The field for text, and what is in it: another one with each change. It stays, over a reload too. */
  private typed = $state.raw<PastedText>({ text: '', isOpen: false });
  /** The text that is the dataset; undefined while the dataset is another. */
  private used = $state.raw<string>();

  /** Which columns have still to be chosen, in a sentence, where some are and the others aren't. */
  halfMapped = $state<string>();

  /** Set once the visitor has chosen: a restore comes too late, then. */
  private isChosen = false;
  /** Set once the visitor has opened the field, or closed it. */
  private isTyped = false;
  private isKeeping = false;

  constructor(private readonly workers: Workers) {}

  async restore(): Promise<void> {
    await Promise.all([this.restoreTyped(), this.restoreChosen()]);
  }

  private async restoreTyped(): Promise<void> {
    const typed = await this.workers.text.call((worker) => worker.data.recallText()).catch(() => null);
    if (typed && !this.isTyped) this.typed = typed;
  }

  private async restoreChosen(): Promise<void> {
    const ref = await this.workers.text.call((worker) => worker.data.recall());
    if (!ref) return;
    const pasted = ref.id.startsWith(PASTED) && ref.content !== 'builtin' ? ref.content : undefined;
    const used = await pasted?.text().catch(() => undefined); // whoever reads it as data says why
    if (this.isChosen) return;
    this.ref = ref;
    this.used = used;
    // Of an earlier version, which kept no text beside the dataset.
    if (used !== undefined && !this.isTyped && this.pasted === '') this.typed = { text: used, isOpen: false };
  }

  get pasting(): boolean {
    return this.typed.isOpen;
  }

  set pasting(isOpen: boolean) {
    this.type({ ...this.typed, isOpen });
  }

  get pasted(): string {
    return this.typed.text;
  }

  set pasted(text: string) {
    this.type({ ...this.typed, text });
  }

  useBuiltin(): void {
    if (this.isBuiltin) this.isChosen = true;
    else this.set(TITLE_FEES);
    if (this.pasting) this.pasting = false;
  }

  useFile(file: File): void {
    this.set({ id: crypto.randomUUID(), name: file.name, content: file });
  }

  usePasted(): void {
    const content = new Blob([this.pasted], { type: 'text/plain' });
    this.set({ id: `${PASTED}${crypto.randomUUID()}`, name: 'pasted.txt', content });
    this.used = this.pasted;
  }

  /** Text stands in the field, and was not used: nobody means the data from before, then. */
  get hasUnusedText(): boolean {
    return this.pasting && this.pasted.trim() !== '' && this.pasted !== this.used;
  }

  get isBuiltin(): boolean {
    return this.ref.content === 'builtin';
  }

  private set(ref: DatasetRef): void {
    this.isChosen = true;
    this.ref = ref;
    this.used = undefined;
    if (this.pasting) this.pasting = false;
    // A full disk only means that a reload begins with the built-in set.
    this.workers.text.call((worker) => worker.data.remember(ref)).catch(() => undefined);
  }

  private type(typed: PastedText): void {
    this.isTyped = true;
    this.typed = typed;
    if (!this.isKeeping) void this.keepTyped();
  }

  /** Keeps what is typed, one write after another: what comes meanwhile is in the next. */
  private async keepTyped(): Promise<void> {
    this.isKeeping = true;
    for (let kept: PastedText | undefined; kept !== this.typed;) {
      const now = this.typed;
      await this.workers.text.call((worker) => worker.data.rememberText(now)).catch(() => undefined);
      kept = now;
    }
    this.isKeeping = false;
  }
}
