import type { FileSource } from '../../src/core/store';
import { memorySource } from '../../src/formats/sources';

/** A source that streams, as a Hub does: in pieces of odd sizes, and with the SHA-256 that it tells of its files. */
export function streaming(
  name: string,
  files: Readonly<Record<string, Uint8Array>>,
  hashes: Readonly<Record<string, string>>,
  endsAt = Infinity,
): { readonly source: FileSource; readonly streams: number[]; readonly reads: string[] } {
  const memory = memorySource(name, files);
  const streams: number[] = [];
  const reads: string[] = [];
  const source: FileSource = {
    ...memory,
    read: (file, start, end) => {
      reads.push(file);
      return memory.read(file, start, end);
    },
    async *stream(file, start) {
      streams.push(start);
      const bytes = await memory.read(file, 0, endsAt);
      for (let at = start; at < bytes.byteLength; at += 99_991) yield bytes.subarray(at, at + 99_991);
    },
    sha256: (file) => Promise.resolve(hashes[file]),
  };
  return { source, streams, reads };
}

export async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
