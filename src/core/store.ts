/** What recipes ask of storage. The worker passes IndexedDB, a browser folder or HTTP; the command line passes folders. */

/** A read-only folder in Hub layout: a model, an adapter, a dataset file. */
export interface FileSource {
  /** What to call it in messages: a path, a Hub id, a folder's name. */
  readonly name: string;
  /** The commit that the files are pinned to, where they come from a Hub repository. */
  readonly commit?: string;
  /** Relative file names, without sub-folders. */
  list(): Promise<string[]>;
  /** Size in bytes, or undefined where there is no such file. */
  size(file: string): Promise<number | undefined>;
  /** Bytes `start` (inclusive) to `end` (exclusive) of a file. Throws `not-found` where there is no such file. */
  read(file: string, start?: number, end?: number): Promise<Uint8Array>;
  /**
   * Bytes from `start` to the end of the file, in pieces of the source's own size: one request, however long the file.
   * A transfer that breaks off goes on where it stopped. Absent where `read` serves as well (disks, memory).
   */
  stream?(file: string, start: number, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** The SHA-256 (hex) that the file must have, where the source is told it from elsewhere. */
  sha256?(file: string): Promise<string | undefined>;
  /**
   * What `find` makes of the files, kept under `name` with what else opening a model read: for an answer of a few bytes
   * that takes reading weights. Absent where nothing is kept.
   */
  remember?(name: string, find: (files: FileSource) => Promise<Uint8Array>): Promise<Uint8Array>;
}

/** The same source but for `changes`: what they leave out, `base` goes on doing. */
export function derivedSource(base: FileSource, changes: Partial<FileSource>): FileSource {
  return {
    name: base.name,
    ...(base.commit !== undefined && { commit: base.commit }),
    list: () => base.list(),
    size: (file) => base.size(file),
    read: (file, start, end) => base.read(file, start, end),
    ...(base.stream && { stream: base.stream.bind(base) }),
    ...(base.sha256 && { sha256: base.sha256.bind(base) }),
    ...(base.remember && { remember: base.remember.bind(base) }),
    ...changes,
  };
}

/** The folder of one run: small named files, each written whole or not at all. */
export interface RunStore {
  readonly name: string;
  list(): Promise<string[]>;
  read(file: string): Promise<Uint8Array | undefined>;
  /** Replaces the file atomically: after a crash it holds the old bytes or the new ones. */
  write(file: string, bytes: Uint8Array): Promise<void>;
  remove(file: string): Promise<void>;
  /** The same as `write`, of pieces in their order that need never be in memory at once. Absent, `writePieces` joins them. */
  writePieces?(file: string, pieces: AsyncIterable<Uint8Array>): Promise<void>;
  /** The file's size in bytes, and bytes `start` to `end` (exclusive) of it. Absent, `storedFile` reads it whole. */
  size?(file: string): Promise<number | undefined>;
  readAt?(file: string, start: number, end: number): Promise<Uint8Array>;
}

/** A file of a store that is read in ranges; at once in memory only where the store can't else. */
export interface StoredFile {
  readonly size: number;
  read(start: number, end: number): Promise<Uint8Array>;
}

export async function storedFile(store: RunStore, file: string): Promise<StoredFile | undefined> {
  if (store.size && store.readAt) {
    const size = await store.size(file);
    return size === undefined ? undefined : { size, read: (start, end) => store.readAt!(file, start, end) };
  }
  const bytes = await store.read(file);
  return bytes && { size: bytes.byteLength, read: (start, end) => Promise.resolve(bytes.subarray(start, end)) };
}

/** Writes a file of `size` bytes from its pieces, whole or not at all; at once in memory only where the store can't else. */
export async function writePieces(
  store: RunStore,
  file: string,
  size: number,
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  if (store.writePieces) return store.writePieces(file, pieces);
  const bytes = new Uint8Array(size);
  let filled = 0;
  for await (const piece of pieces) {
    bytes.set(piece, filled);
    filled += piece.byteLength;
  }
  await store.write(file, bytes);
}

const decoder = new TextDecoder('utf-8', { fatal: true });

export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

export function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
