/**
 * A store that keeps what is written to it as blobs, for download: the browser puts large ones on disk, so that a model of
 * many gigabytes never lies in memory.
 */
import { BlobParts } from '../../src/core/blob-parts';
import type { RunStore } from '../../src/core/store';
import type { ExportedFile } from '../../src/protocol/exports';

export class CollectedFiles implements RunStore {
  readonly name = 'the download';
  private readonly blobs = new Map<string, Blob>();

  list(): Promise<string[]> {
    return Promise.resolve([...this.blobs.keys()]);
  }

  async read(file: string): Promise<Uint8Array | undefined> {
    const blob = this.blobs.get(file);
    return blob && new Uint8Array(await blob.arrayBuffer());
  }

  write(file: string, bytes: Uint8Array): Promise<void> {
    this.blobs.set(file, new Blob([bytes as Uint8Array<ArrayBuffer>]));
    return Promise.resolve();
  }

  async writePieces(file: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    const parts = new BlobParts();
    for await (const piece of pieces) parts.add(piece as Uint8Array<ArrayBuffer>);
    this.blobs.set(file, parts.blob());
  }

  remove(file: string): Promise<void> {
    this.blobs.delete(file);
    return Promise.resolve();
  }

  files(): ExportedFile[] {
    return [...this.blobs].map(([name, blob]) => ({ name, blob }));
  }
}
