/** The persistent buffers of a session and their bytes: the same layout is counted and made, so the two can't disagree. */
import { byteSize } from '../graph/tensor';
import type { MemoryBytes } from '../types';
import { addBytes, emptyBytes, programBytes, type ProgramsPlan } from './plan';

/** A persistent buffer, and the leaves that are ranges of it. */
export interface LeafBuffer {
  readonly label: string;
  readonly kind: keyof MemoryBytes;
  readonly bytes: number;
  readonly ranges: ReadonlyMap<string, number>;
}

/** One buffer for each leaf of the plan, but for those that a flat buffer holds already. */
export function leafBuffers(plan: ProgramsPlan, flat: readonly LeafBuffer[]): LeafBuffer[] {
  const held = new Set(flat.flatMap((buffer) => [...buffer.ranges.keys()]));
  const single = [...plan.leaves.values()]
    .filter((tensor) => !held.has(tensor.leaf!.name))
    .map((tensor): LeafBuffer => {
      const { name, kind } = tensor.leaf!;
      return { label: name, kind, bytes: byteSize(tensor), ranges: new Map([[name, 0]]) };
    });
  return [...flat, ...single];
}

/** What a session will allocate, by kind. `readbackBytes` is its staging buffer. */
export function layoutBytes(plan: ProgramsPlan, buffers: readonly LeafBuffer[], readbackBytes: number): MemoryBytes {
  const bytes = emptyBytes();
  for (const buffer of buffers) bytes[buffer.kind] += buffer.bytes;
  bytes.workspace += readbackBytes;
  return addBytes(bytes, programBytes(plan));
}
