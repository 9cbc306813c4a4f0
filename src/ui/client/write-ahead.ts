/**
 * Shows what comes only once it is kept, so that a tab that dies has lost nothing that was on its screen. While one write
 * is under way what comes is gathered; where a write fails, that is told, and what was to be kept is shown all the same.
 */
export class WriteAhead<T> {
  private pending = new Map<number, T>();
  private writing: Promise<void> | undefined;
  private isClosed = false;

  constructor(
    private readonly keep: (index: number, value: T) => Promise<void>,
    private readonly show: (index: number, value: T) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Keeps and shows a value in its place; one that waits there gives way to it. */
  put(index: number, value: T): void {
    if (this.isClosed) return;
    this.pending.set(index, value);
    this.writing ??= this.write();
  }

  /** Resolves when all that has come is kept and shown. */
  async settled(): Promise<void> {
    while (this.writing) await this.writing;
  }

  /** Drops what waits and what comes; resolves when nothing is being written. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.pending.clear();
    await this.settled();
  }

  private async write(): Promise<void> {
    while (this.pending.size > 0) {
      const batch = this.pending;
      this.pending = new Map();
      for (const [index, value] of batch) {
        await this.keep(index, value).catch(this.onError);
        if (!this.isClosed) this.show(index, value);
      }
    }
    this.writing = undefined;
  }
}
