/** Bytes that come in pieces as one blob, of which no more than a part lies in memory: browsers put large blobs on disk. */

/** Bytes that are handed to the browser at once. */
const PART_BYTES = 16 * 2 ** 20;

export class BlobParts {
  private readonly parts: Blob[] = [];
  private held: Uint8Array<ArrayBuffer>[] = [];
  private bytes = 0;

  add(piece: Uint8Array<ArrayBuffer>): void {
    this.held.push(piece);
    this.bytes += piece.byteLength;
    if (this.bytes >= PART_BYTES) this.handOver();
  }

  /** All that was added. @param type its media type */
  blob(type = ''): Blob {
    this.handOver();
    return new Blob(this.parts, { type });
  }

  private handOver(): void {
    this.parts.push(new Blob(this.held));
    this.held = [];
    this.bytes = 0;
  }
}
