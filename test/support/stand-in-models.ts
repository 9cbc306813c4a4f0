/** The repositories of the stand-in Hub: files in memory or on the disk, named as git and large-file storage name them. */
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface StandInOptions {
  readonly gated?: false | 'auto' | 'manual';
  readonly private?: boolean;
  readonly disabled?: boolean;
  /** Branches and tags beside `main`, all at the one commit. */
  readonly revisions?: readonly string[];
  /** Sizes that the listing gets wrong. */
  readonly listedSizes?: Readonly<Record<string, number>>;
  /** The listing tells no SHA-256 of large files, as some mirrors don't. */
  readonly withoutHashes?: boolean;
  readonly downloads?: number;
  readonly likes?: number;
  readonly parameters?: number;
  /** The hash of its commit, made up otherwise. */
  readonly commit?: string;
}

/** What git keeps itself is small; the rest is in large-file storage on another host. */
const LARGE = /\.(safetensors|bin|gguf)$/;
const LARGE_BYTES = 10 * 2 ** 20;

export function isLargeFile(name: string, size: number): boolean {
  return LARGE.test(name) || size >= LARGE_BYTES;
}

export class StandInFile {
  readonly size: number;
  readonly isLarge: boolean;
  private hashes: Promise<{ sha256: string; blobId: string }> | undefined;

  constructor(
    readonly name: string,
    /** Its bytes, or its path. */
    private readonly content: Uint8Array | string,
  ) {
    this.size = typeof content === 'string' ? statSync(content).size : content.byteLength;
    this.isLarge = isLargeFile(name, this.size);
  }

  /** Bytes `start` to `end` (exclusive) in pieces: a file on the disk is never whole in memory. */
  async *pieces(start: number, end: number): AsyncGenerator<Uint8Array> {
    if (start >= end) return;
    if (typeof this.content === 'string') {
      yield* createReadStream(this.content, { start, end: end - 1 }) as AsyncIterable<Uint8Array>;
      return;
    }
    for (let at = start; at < end; at += PIECE) yield this.content.subarray(at, Math.min(end, at + PIECE));
  }

  /** SHA-256, and git's SHA-1; for a large file the latter is over the pointer that git has in its place. */
  hash(): Promise<{ sha256: string; blobId: string }> {
    return (this.hashes ??= this.compute());
  }

  json(): unknown {
    const { content } = this;
    return JSON.parse(typeof content === 'string' ? readFileSync(content, 'utf8') : new TextDecoder().decode(content));
  }

  private async compute() {
    const sha = createHash('sha256');
    const git = createHash('sha1').update(`blob ${this.size}\0`);
    for await (const piece of this.pieces(0, this.size)) {
      sha.update(piece);
      if (!this.isLarge) git.update(piece);
    }
    const sha256 = sha.digest('hex');
    if (!this.isLarge) return { sha256, blobId: git.digest('hex') };
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${this.size}\n`;
    return { sha256, blobId: createHash('sha1').update(`blob ${pointer.length}\0${pointer}`).digest('hex') };
  }
}

const PIECE = 64 * 2 ** 10;
const POINTER_BYTES = 134;

export class StandInModel {
  readonly commit: string;
  readonly files: ReadonlyMap<string, StandInFile>;
  /** Branches with files of their own. */
  readonly branches = new Map<string, StandInModel>();

  constructor(
    readonly id: string,
    /** Files by name, or a folder. */
    content: Readonly<Record<string, Uint8Array>> | string,
    readonly options: StandInOptions = {},
  ) {
    const entries: [string, Uint8Array | string][] =
      typeof content === 'string'
        ? readdirSync(content, { withFileTypes: true })
            .filter((entry) => !entry.isDirectory())
            .map(({ name }) => [name, join(content, name)])
        : Object.entries(content);
    this.files = new Map(entries.map(([name, bytes]) => [name, new StandInFile(name, bytes)]));
    const sizes = [...this.files.values()].map(({ name, size }) => `${name} ${size}`);
    this.commit =
      options.commit ??
      createHash('sha1')
        .update([id, ...sizes].join('\n'))
        .digest('hex');
  }

  has(revision: string): boolean {
    return [this.commit, 'main', 'HEAD', ...(this.options.revisions ?? []), ...this.branches.keys()].includes(revision);
  }

  /** The files of a branch. */
  at(revision: string): StandInModel {
    return this.branches.get(revision) ?? this;
  }

  /** As `GET /api/models/…` and a row of the search describe it. */
  summary(): Record<string, unknown> {
    const { gated = false, downloads = 0, likes = 0, parameters } = this.options;
    const config = this.files.get('config.json')?.json() as
      { model_type?: string; architectures?: string[] } | undefined;
    return {
      id: this.id,
      modelId: this.id,
      private: this.options.private ?? false,
      gated,
      downloads,
      likes,
      tags: ['transformers', 'safetensors', 'text-generation', 'license:apache-2.0'],
      ...(config && { config: { architectures: config.architectures, model_type: config.model_type } }),
      ...(parameters !== undefined && { safetensors: { parameters: { BF16: parameters }, total: parameters } }),
    };
  }

  async info(blobs: boolean): Promise<object> {
    const siblings = [];
    for (const file of this.files.values()) {
      const { sha256, blobId } = blobs ? await file.hash() : { sha256: '', blobId: '' };
      const size = this.listedSize(file);
      const named = file.isLarge && !this.options.withoutHashes;
      const lfs = named && { lfs: { sha256, size, pointerSize: POINTER_BYTES } };
      siblings.push({ rfilename: file.name, ...(blobs && { size, blobId, ...lfs }) });
    }
    return { ...this.summary(), sha: this.commit, siblings };
  }

  async tree(): Promise<object[]> {
    const entries = [];
    for (const file of this.files.values()) {
      const { sha256, blobId: oid } = await file.hash();
      const size = this.listedSize(file);
      const lfs = file.isLarge && { lfs: { oid: sha256, size, pointerSize: POINTER_BYTES } };
      entries.push({ type: 'file', oid, size, path: file.name, ...lfs });
    }
    return entries;
  }

  private listedSize({ name, size }: StandInFile): number {
    return this.options.listedSizes?.[name] ?? size;
  }
}
