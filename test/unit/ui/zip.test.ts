import { describe, expect, it, vi } from 'vitest';
import { pickZipTarget, writeZip, zipBlob } from '../../../src/ui/client/zip';

const FILES = [
  { name: 'a.txt', blob: new Blob(['one']) },
  // Node gives a blob in one piece: several stand for what a browser reads bit by bit.
  ...['b', 'c', 'd', 'e', 'f'].map((name) => ({ name, blob: new Blob([new Uint8Array(4 * 2 ** 20)]) })),
];

describe('a zip', () => {
  it('is written as it is made, in small pieces', async () => {
    const pieces: number[] = [];
    let largest = 0;
    const writable = new WritableStream<Uint8Array>({
      write: (piece) => {
        pieces.push(piece.byteLength);
        largest = Math.max(largest, piece.byteLength);
      },
    });
    await writeZip(FILES, 'model', { createWritable: () => Promise.resolve(writable) });
    expect(largest).toBeLessThan(5 * 2 ** 20);
    expect(pieces.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(20 * 2 ** 20);
  });

  it('as a download is the same, in blobs', async () => {
    vi.useFakeTimers({ now: 0, toFake: ['Date'] });
    const written: Uint8Array[] = [];
    const writable = new WritableStream<Uint8Array>({ write: (piece) => void written.push(piece) });
    await writeZip(FILES, 'model', { createWritable: () => Promise.resolve(writable) });
    const blob = await zipBlob(FILES, 'model');
    vi.useRealTimers();
    expect(Buffer.compare(Buffer.from(await blob.arrayBuffer()), Buffer.concat(written))).toBe(0);
    expect(Buffer.concat(written.slice(0, 2)).toString('latin1')).toContain('model/a.txt');
  });

  it('goes where the user says, nowhere where they close the dialog, and to a download without one', async () => {
    expect(await pickZipTarget('x')).toBeUndefined();
    const target = { createWritable: () => Promise.reject(new Error()) };
    vi.stubGlobal('showSaveFilePicker', (options: { suggestedName: string }) => {
      expect(options.suggestedName).toBe('x.zip');
      return Promise.resolve(target);
    });
    expect(await pickZipTarget('x')).toBe(target);
    vi.stubGlobal('showSaveFilePicker', () => Promise.reject(new DOMException('closed', 'AbortError')));
    expect(await pickZipTarget('x')).toBeNull();
    vi.stubGlobal('showSaveFilePicker', () => Promise.reject(new DOMException('no click', 'SecurityError')));
    await expect(pickZipTarget('x')).rejects.toThrow('no click');
    vi.unstubAllGlobals();
  });
});
