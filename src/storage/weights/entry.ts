/** How kept weights are written down: shards of leaves' pieces, and the parameters that are whole in them. */
import * as v from 'valibot';
import type { WeightDType } from '../../core/dtypes';
import type { CacheKey } from '../../core/weight-cache';
import type { FileProgress, StoredSlice } from '../../core/weights';
import { sha256 } from '../../core/hash';
import { unseal } from '../sealed';
import type { ShardDigest } from '../shards';

/** A piece of a leaf within a shard, where the one before it ends. */
export interface ShardPiece extends Omit<StoredSlice, 'bytes'> {
  readonly parameter: string;
  readonly size: number;
}

export interface ShardRecord extends ShardDigest {
  readonly name: string;
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

/** Every type that a leaf may have, as a record so that none is forgotten. */
const STORED: Readonly<Record<WeightDType, true>> = {
  f32: true,
  f16: true,
  bf16: true,
  nf4: true,
  nf4_nested: true,
  q8: true,
};

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

const Entry = v.object({
  id: v.string(),
  model: v.string(),
  storage: v.string(),
  complete: v.boolean(),
  pinned: v.boolean(),
  usedAt: v.number(),
  files: v.array(v.object({ file: v.string(), offset: count, hash: v.instance(Uint8Array), header: v.optional(hash) })),
  shards: v.array(
    v.object({
      name: v.string(),
      size: count,
      sha256: hash,
      pieces: v.array(
        v.object({
          parameter: v.string(),
          name: v.string(),
          stored: v.picklist(Object.keys(STORED) as WeightDType[]),
          shape: v.array(count),
          start: count,
          size: count,
        }),
      ),
    }),
  ),
  parameters: v.array(v.object({ name: v.string(), origin: v.array(v.string()), shards: v.array(v.string()) })),
});

/**
 * The entry that was sealed under this id. Undefined where it isn't what was written: an index that lies about a digest
 * or about where a leaf lies would load another model than it names.
 */
export async function unsealEntry(id: string, found: unknown): Promise<CacheEntry | undefined> {
  const read = v.safeParse(Entry, await unseal(found));
  const isUnderId = (found as { id?: unknown } | null)?.id === id;
  if (!read.success || !isUnderId || read.output.id !== id || (await entryId(read.output)) !== id) return undefined;
  return read.output;
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
