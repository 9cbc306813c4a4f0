/**
 * One error class and one table of stable codes. A message is a whole sentence for the person who reads it:
 * what is wrong, where (file, row, key), what to do. The code survives a worker boundary in `name`.
 */
import { cut } from './format';

export const ERROR_CODES = [
  'bad-config', // a run file, model config or command line that can't be used
  'bad-data', // a dataset row or file that can't be used
  'bad-file', // a file whose bytes break its format's rules
  'not-found', // a file, folder, model or run that isn't there
  'unsupported', // well formed, but something Graft doesn't do
  'no-webgpu', // this browser or machine offers no usable WebGPU adapter
  'device-lost', // the GPU device went away
  'out-of-memory', // the GPU or the budget is too small
  'diverged', // loss or gradient is NaN or infinite
  'storage', // a store refused a read or a write
  'network', // another host can't be reached, broke off or is overloaded: later may be better
  'no-access', // another host wants a token, or consent to a licence
  'cancelled', // the user asked to stop
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

const PREFIX = 'Graft:';

/** Most characters of a message. Those of our own have a few hundred; names and texts of files in them may have millions. */
const MAX_MESSAGE = 1200;

/**
 * A message as one line: what comes of files may hold line breaks, and what moves a terminal's cursor or turns the order
 * of letters round, which is shown as `\x1b`, `\u202e`. Of one that is too long the middle is left out, for the end says
 * what to do.
 */
function asOneLine(message: string): string {
  const half = MAX_MESSAGE / 2;
  const short =
    message.length > MAX_MESSAGE
      ? `${cut(message, half)}…${message.slice(-half).replace(/^[\udc00-\udfff]/, '')}`
      : message;
  return short.replace(/\s*[\n\r\u2028\u2029]\s*/g, ' ').replace(UNSHOWN, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** Control characters but tabs, and the marks of writing direction. */
const UNSHOWN = /[^\P{Cc}\t]|[\u202a-\u202e\u2066-\u2069]/gu;

/** Every failure that a user can act on. `name` is `Graft:<code>`, so that a structured clone keeps the code. */
export class GraftError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(asOneLine(message), options);
    this.name = PREFIX + code;
  }
}

/** Bytes that are all there and not what they should be (`bad-file`): nothing that was kept along with them can be trusted. */
export class VerificationError extends GraftError {
  constructor(message: string) {
    super('bad-file', message);
  }
}

/** Nothing is left to train on, as every row is cut before it (`bad-data`): with a higher limit there may be. */
export class CutError extends GraftError {
  constructor(
    message: string,
    /** Tokens of the longest row, before the cut. */
    readonly longest: number,
  ) {
    super('bad-data', message);
  }
}

/** Somebody else's program was stopped (`bad-config`): it used up what it may take, and will do so again. */
export class ExhaustedError extends GraftError {
  constructor(message: string, options?: ErrorOptions) {
    super('bad-config', message, options);
  }
}

/** The code of an error that may have crossed a worker boundary, or undefined for a programming error. */
export function errorCode(error: unknown): ErrorCode | undefined {
  if (error instanceof GraftError) return error.code;
  const name = (error as { name?: unknown } | null)?.name;
  if (typeof name !== 'string' || !name.startsWith(PREFIX)) return undefined;
  const code = name.slice(PREFIX.length);
  return ERROR_CODES.find((known) => known === code);
}

/** A failure as plain data: what crosses to the page and is kept with a run. */
export interface PlainError {
  code: ErrorCode | 'internal';
  message: string;
}

/** Any failure as plain data; a programming error is `internal`. */
export function plainError(error: unknown): PlainError {
  const message = error instanceof Error ? error.message : String(error);
  return { code: errorCode(error) ?? 'internal', message };
}

/** Throws `cancelled` when the signal is aborted. */
export function throwIfCancelled(signal?: AbortSignal): void {
  if (signal?.aborted) throw new GraftError('cancelled', 'Stopped because you asked for it.');
}
