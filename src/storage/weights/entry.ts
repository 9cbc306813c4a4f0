/** How kept weights are written down: shards of leaves' pieces, and the parameters that are whole in them. */
import type { CacheKey } from '../../core/weight-cache';
import type { FileProgress, StoredSlice } from '../../core/weights';
import { sha256 } from '../../core/hash';

/** A piece of a leaf within a shard, where the one before it ends. */
export interface ShardPiece extends Omit<StoredSlice, 'bytes'> {
  readonly parameter: string;
  readonly size: number;
}

export interface ShardRecord {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  readonly pieces: readonly ShardPiece[];
}

export interface ParameterRecord {
  readonly name: string;
  readonly origin: readonly string[];
  /** The shards that hold its leaves; none where one of them was damaged, and the parameter is lost. */
  readonly shards: readonly string[];
}

/** All that is known of the weights under a key. */
export interface CacheEntry extends CacheKey {
  readonly id: string;
  readonly complete: boolean;
  readonly pinned: boolean;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  readonly files: readonly FileProgress[];
  readonly shards: readonly ShardRecord[];
  readonly parameters: readonly ParameterRecord[];
}

/** Whether what was read is an entry, and not what something else left under its name. */
export function isEntry(value: unknown): value is CacheEntry {
  const { id, files, shards, parameters } = (value ?? {}) as Partial<Record<keyof CacheEntry, unknown>>;
  return typeof id === 'string' && [files, shards, parameters].every(Array.isArray);
}

/** An id that does for a key of a database and for a folder's name. */
export async function entryId({ model, storage }: CacheKey): Promise<string> {
  return (await sha256(new TextEncoder().encode(`${model}\n${storage}`))).slice(0, 32);
}

export function entryBytes({ shards }: CacheEntry): number {
  return shards.reduce((sum, { size }) => sum + size, 0);
}

/** The entry without shards that are damaged: what lay in them is lost. */
export function withoutShards(entry: CacheEntry, damaged: ReadonlySet<string>): CacheEntry {
  const parameters = entry.parameters.map((parameter) =>
    parameter.shards.some((name) => damaged.has(name)) ? { ...parameter, shards: [] } : parameter,
  );
  return { ...entry, complete: false, parameters, shards: entry.shards.filter(({ name }) => !damaged.has(name)) };
}

/** Names of shards that nothing is held in: what a writer left that was cut off within a parameter. */
export function unusedShards({ shards, parameters }: CacheEntry): string[] {
  const used = new Set(parameters.flatMap((parameter) => parameter.shards));
  return shards.map(({ name }) => name).filter((name) => !used.has(name));
}
