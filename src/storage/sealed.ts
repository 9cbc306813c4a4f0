/** Values with a SHA-256 over themselves, so that what is read back is what was written or counts as damaged. */
import { sha256 } from '../core/hash';
import { encodeUtf8 } from '../core/store';

/** A value and the hash of it. */
export interface Sealed<T> {
  readonly value: T;
  readonly sha256: string;
}

export async function seal<T>(value: T): Promise<Sealed<T>> {
  return { value, sha256: await digestOf(value) };
}

/** What was sealed, of any shape; undefined where it is not what was written, or was never sealed. */
export async function unseal(found: unknown): Promise<unknown> {
  if (typeof found !== 'object' || found === null) return undefined;
  const { value, sha256: written } = found as Partial<Record<keyof Sealed<unknown>, unknown>>;
  if (value === undefined || typeof written !== 'string') return undefined;
  try {
    return written === (await digestOf(value)) ? value : undefined;
  } catch {
    return undefined; // nested deeper than anything that is written here, or of a type that JSON has no word for
  }
}

function digestOf(value: unknown): Promise<string> {
  return sha256(encodeUtf8(JSON.stringify(value, canonical) ?? ''));
}

/** The same text for the same value, whichever order its keys were written in; bytes as numbers. */
function canonical(_: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
