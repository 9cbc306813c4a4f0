/** What is kept of a model's opening, checked when it is read, whatever keeps it. */
import * as v from 'valibot';
import type { KnownRevision, ModelOpening } from '../core/weight-cache';
import { seal, unseal, type Sealed } from './sealed';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const Opening = v.object({
  files: v.optional(v.array(v.string())),
  sizes: v.array(v.object({ file: v.string(), size: v.optional(count) })),
  hashes: v.array(v.object({ file: v.string(), sha256: v.optional(v.string()) })),
  reads: v.array(v.object({ file: v.string(), start: count, end: v.optional(count), bytes: v.instance(Uint8Array) })),
});

/** An opening of the right shape, or undefined. Whether it is what was written is for who keeps it to tell. */
export function readOpening(found: unknown): ModelOpening | undefined {
  const read = v.safeParse(Opening, found);
  if (!read.success) return undefined;
  const { files, sizes, hashes, reads } = read.output;
  return {
    ...(files && { files }),
    sizes: sizes.map(({ file, size }) => ({ file, size })),
    hashes: hashes.map(({ file, sha256 }) => ({ file, sha256 })),
    reads: reads.map(({ file, start, end, bytes }) => ({ file, start, ...(end !== undefined && { end }), bytes })),
  };
}

const Revision = v.object({
  repository: v.string(),
  revision: v.string(),
  commit: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/)),
  seenAt: v.number(),
});

type NamedRevision = v.InferOutput<typeof Revision>;

/** What a revision stood for as it is written down: with what it answers, and a hash over both. */
export function sealRevision(
  repository: string,
  revision: string,
  { commit, seenAt }: KnownRevision,
): Promise<Sealed<NamedRevision>> {
  return seal({ repository, revision, commit, seenAt });
}

/** Undefined where it isn't what was written: a commit with another digit would be another model, or none. */
export async function unsealRevision(
  repository: string,
  revision: string,
  found: unknown,
): Promise<KnownRevision | undefined> {
  const read = v.safeParse(Revision, await unseal(found));
  if (!read.success || read.output.repository !== repository || read.output.revision !== revision) return undefined;
  const { commit, seenAt } = read.output;
  return { commit, seenAt };
}
