/** A file read from some byte on, in order: as one transfer where the source streams, by ranges elsewhere. */
import { GraftError, throwIfCancelled, VerificationError } from '../core/errors';
import { formatCount, plural } from '../core/format';
import { sha256 } from '../core/hash';
import type { FileSource } from '../core/store';
import type { FileProgress } from '../core/weights';
import { RunningSha256 } from '../core/running-hash';

/** Bytes that are asked for at once where nobody wants them but the hash. */
const RANGE_BYTES = 16 * 2 ** 20;

/** What a file begins with, as it was read by itself: its size and SHA-256. */
interface Head {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/** Holds bytes against the SHA-256 that the source tells of the whole file. */
interface Verification {
  readonly expected: string;
  readonly running: RunningSha256;
  readonly header: string;
}

export class FileReader {
  private pieces: AsyncIterator<Uint8Array> | undefined;
  /** What has come and was not taken yet. */
  private held = new Uint8Array(0);

  private constructor(
    private readonly source: FileSource,
    private readonly file: string,
    private at: number,
    private readonly verification: Verification | undefined,
    private readonly signal: AbortSignal | undefined,
    private readonly streams = source.stream !== undefined,
  ) {}

  /**
   * From the start, or from where it stood; verified where the source tells the file's SHA-256. The header came in a
   * transfer of its own, which that hash says nothing of: so it is held against the one in the file.
   * @throws `bad-file` where they differ
   */
  static async open(
    source: FileSource,
    head: Head,
    progress: FileProgress | undefined,
    signal: AbortSignal | undefined,
  ): Promise<FileReader> {
    const { file } = head;
    const expected = await source.sha256?.(file);
    if (expected === undefined) return new FileReader(source, file, progress?.offset ?? 0, undefined, signal);
    const resumed = progress && (await RunningSha256.resume(progress.hash));
    // Without a state, what came before can't be verified any more: the file is read from its start.
    const known = resumed && progress;
    const verification = { expected, running: resumed ?? (await RunningSha256.create()), header: head.sha256 };
    const reader = new FileReader(source, file, known?.offset ?? 0, verification, signal);
    const header = known ? known.header : await reader.hashOfFirst(head.size);
    if (header === head.sha256) return reader;
    await reader.close();
    throw new VerificationError(
      `The header of ${file} of ${source.name} is not what it was when the model was opened: one of the two came ` +
        'damaged. Nothing of it was kept: load it again.',
    );
  }

  /** From a byte on, unverified, and by ranges: what comes after the bytes wanted isn't sent. */
  static at(source: FileSource, file: string, offset: number, signal: AbortSignal | undefined): FileReader {
    return new FileReader(source, file, offset, undefined, signal, false);
  }

  /** The byte that is read next. */
  get offset(): number {
    return this.at;
  }

  progress(): FileProgress {
    const { file, at: offset, verification } = this;
    if (!verification) return { file, offset, hash: new Uint8Array(0) };
    return { file, offset, hash: verification.running.state(), header: verification.header };
  }

  /** The next bytes. Throws `bad-file` where the file ends within `what` they are. */
  async takeBytes(count: number, what: string): Promise<Uint8Array> {
    throwIfCancelled(this.signal);
    const bytes = this.streams ? await this.takeStreamed(count) : await this.takeRange(count);
    if (bytes.byteLength !== count) {
      throw new GraftError(
        'bad-file',
        `${this.file} gave ${formatCount(bytes.byteLength)} bytes for ${what}, ` +
          `${plural(Math.abs(count - bytes.byteLength), 'byte')} too ${bytes.byteLength < count ? 'few' : 'many'}: it ` +
          'changed while it was read, or the connection broke. Load it again.',
      );
    }
    this.verification?.running.update(bytes);
    this.at += count;
    return bytes;
  }

  /** Bytes that nobody wants are read for the hash only. */
  async skipTo(offset: number): Promise<void> {
    if (!this.verification && !this.pieces) this.at = offset;
    while (this.at < offset) await this.takeBytes(Math.min(RANGE_BYTES, offset - this.at), 'what nobody asked for');
  }

  /** Reads the rest and verifies the file. Throws `bad-file` where it is not the one that the source tells of. */
  async finish(): Promise<void> {
    if (!this.verification) return;
    const { expected, running } = this.verification;
    await this.skipTo((await this.source.size(this.file)) ?? this.at);
    const digest = running.digest();
    if (digest === expected.toLowerCase()) return;
    throw new VerificationError(
      `${this.file} of ${this.source.name} is damaged: its SHA-256 is ${digest.slice(0, 12)}… and should be ` +
        `${expected.slice(0, 12)}…. Nothing of it was kept: load it again.`,
    );
  }

  /** Ends the transfer, wherever it is. */
  async close(): Promise<void> {
    await this.pieces?.return?.();
  }

  private async hashOfFirst(count: number): Promise<string> {
    return sha256(await this.takeBytes(count, 'its header'));
  }

  private takeRange(count: number): Promise<Uint8Array> {
    return this.source.read(this.file, this.at, this.at + count);
  }

  private async takeStreamed(count: number): Promise<Uint8Array> {
    this.pieces ??= this.source.stream!(this.file, this.at, this.signal)[Symbol.asyncIterator]();
    const bytes = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.held.byteLength === 0) {
        const next = await this.pieces.next();
        if (next.done) break;
        this.held = next.value as Uint8Array<ArrayBuffer>;
      }
      const piece = this.held.subarray(0, count - filled);
      bytes.set(piece, filled);
      filled += piece.byteLength;
      this.held = this.held.subarray(piece.byteLength);
    }
    return bytes.subarray(0, filled);
  }
}
