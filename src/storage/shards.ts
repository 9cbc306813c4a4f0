/** Large values in pieces, each with the size and hash that it is held against when it is read. */
import { sha256 } from '../core/hash';

export interface ShardDigest {
  readonly size: number;
  readonly sha256: string;
}

export async function digestShard(bytes: Uint8Array): Promise<ShardDigest> {
  return { size: bytes.byteLength, sha256: await sha256(bytes) };
}

/** Whether what was read is the shard that was written; a known size tells many without hashing. */
export async function isShard(found: unknown, expected: ShardDigest): Promise<boolean> {
  if (!(found instanceof Uint8Array) || found.byteLength !== expected.size) return false;
  return (await sha256(found)) === expected.sha256;
}
