/** Gathers pieces of leaves into shards. */
import type { FileProgress, StoredSlice } from '../../core/weights';
import { digestShard } from '../shards';
import type { Shard } from './backend';
import type { CacheEntry, ParameterRecord, ShardPiece } from './entry';

/** A shard, and the parameters and progress that are durable with it. */
export interface ClosedShard {
  readonly shard: Shard | undefined;
  apply(entry: CacheEntry): CacheEntry;
}

export class ShardWriter {
  private buffer: Uint8Array | undefined;
  private name = crypto.randomUUID();
  private filled = 0;
  private pieces: ShardPiece[] = [];
  /** Parameters that end in the shard under way. */
  private ended: ParameterRecord[] = [];
  private files: FileProgress[] = [];
  /** Shards that the parameter under way has pieces in. */
  private spanned: string[] = [];

  constructor(private readonly shardBytes: number) {}

  get isFull(): boolean {
    return this.filled === this.shardBytes;
  }

  /** Takes as much of a piece as there is room for, and returns the rest. */
  add(parameter: string, { name, stored, shape, start, bytes }: StoredSlice): StoredSlice | undefined {
    this.buffer ??= new Uint8Array(this.shardBytes);
    const size = Math.min(bytes.byteLength, this.shardBytes - this.filled);
    this.buffer.set(bytes.subarray(0, size), this.filled);
    this.filled += size;
    const last = this.pieces.at(-1);
    const goesOn = last?.name === name && last.start + last.size === start;
    if (goesOn) this.pieces[this.pieces.length - 1] = { ...last, size: last.size + size };
    else this.pieces.push({ parameter, name, stored, shape, start, size });
    if (this.spanned.at(-1) !== this.name) this.spanned.push(this.name);
    const rest = bytes.subarray(size);
    return rest.byteLength === 0 ? undefined : { name, stored, shape, start: start + size, bytes: rest };
  }

  /** The parameter's last piece was added. */
  endParameter(name: string, origin: readonly string[], progress: FileProgress | undefined): void {
    this.ended.push({ name, origin, shards: this.spanned });
    this.spanned = [];
    if (progress) this.files = withProgress(this.files, progress);
  }

  /** Ends the shard under way. Undefined where there is nothing to write down. */
  async close(): Promise<ClosedShard | undefined> {
    const { name, pieces, ended, files, filled } = this;
    if (filled === 0 && ended.length === 0) return undefined;
    const bytes = filled === this.shardBytes ? this.buffer! : (this.buffer ?? new Uint8Array(0)).slice(0, filled);
    const record = { name, ...(await digestShard(bytes)), pieces };
    this.buffer = undefined;
    [this.pieces, this.ended, this.files, this.filled] = [[], [], [], 0];
    this.name = crypto.randomUUID();
    return {
      shard: filled > 0 ? { name, bytes } : undefined,
      apply: (entry) => ({
        ...entry,
        files: files.reduce(withProgress, entry.files as FileProgress[]),
        shards: filled > 0 ? [...entry.shards, record] : entry.shards,
        parameters: [...entry.parameters.filter((known) => !ended.some((one) => one.name === known.name)), ...ended],
      }),
    };
  }
}

/** Where files stand, in the order in which they are read. */
function withProgress(files: FileProgress[], progress: FileProgress): FileProgress[] {
  const known = files.findIndex(({ file }) => file === progress.file);
  return known < 0 ? [...files, progress] : files.with(known, progress);
}
