/** Records that runs leave in their folders, read back: people copy, cut and edit them, so each is checked before it is used. */
import * as v from 'valibot';
import { parseRunConfig, type RunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import { parseJson } from '../../core/json';
import { decodeUtf8 } from '../../core/store';

/** A number that a record may have where something is measured. */
export const FINITE = v.pipe(v.number(), v.finite());
/** One that counts something. */
export const WHOLE = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** The text of a file; undefined where it isn't UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes);
  } catch {
    return undefined;
  }
}

/** The record in a JSON text; undefined where it isn't one of this shape. */
export function parseRecord<S extends v.GenericSchema>(
  schema: S,
  text: string | undefined,
): v.InferOutput<S> | undefined {
  const result = v.safeParse(schema, text === undefined ? undefined : parseJson(text));
  return result.success ? result.output : undefined;
}

/** The run file of a run's folder. Throws `bad-config` where it can't be used; `name` is what messages call it. */
export function parseRunFile(bytes: Uint8Array, name: string): RunConfig {
  const text = decodeText(bytes);
  if (text === undefined) throw new GraftError('bad-config', `${name} is not UTF-8 text: save it as UTF-8.`);
  return parseRunConfig(text, {}, name);
}
