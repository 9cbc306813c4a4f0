import { errorCode } from '../../core/errors';
import type { PlainError } from '../../core/events';

/** Any failure as what the page shows; the code survives the worker's boundary in the error's name. */
export function toPlainError(error: unknown): PlainError {
  const message = error instanceof Error ? error.message : String(error);
  return { code: errorCode(error) ?? 'internal', message };
}

export function isCancelled(error: unknown): boolean {
  return errorCode(error) === 'cancelled';
}
