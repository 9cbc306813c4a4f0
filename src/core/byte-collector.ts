/** Bytes that come in pieces, joined, in memory that grows with what has come and not with what was announced. */
export class ByteCollector {
  private bytes = new Uint8Array();
  private filled = 0;

  /** @param most bytes that will come at most; one more is a mistake of the caller's */
  constructor(private readonly most: number) {}

  add(piece: Uint8Array): void {
    const needed = this.filled + piece.byteLength;
    if (needed > this.bytes.byteLength) this.grow(needed);
    this.bytes.set(piece, this.filled);
    this.filled = needed;
  }

  /** All that came. */
  take(): Uint8Array {
    return this.bytes.subarray(0, this.filled);
  }

  private grow(needed: number): void {
    if (needed > this.most) throw new Error(`${needed} bytes came where ${this.most} were to come at most.`);
    const grown = new Uint8Array(Math.min(this.most, Math.max(needed, 2 * this.bytes.byteLength, FIRST_BYTES)));
    grown.set(this.bytes.subarray(0, this.filled));
    this.bytes = grown;
  }
}

const FIRST_BYTES = 2 ** 16;
