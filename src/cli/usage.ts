/**
 * Wrong calls: what a person typed can't be meant, before anything was tried. What the words of a call name (a file, a run
 * file and the keys in it, a folder that is taken) is no part of the call: where that can't be used, a command has failed.
 */
import { GraftError } from '../core/errors';

/** A command line that can't be meant: unknown flags, missing arguments, impossible values. It ends with exit code 2. */
export class UsageError extends GraftError {
  constructor(message: string, options?: ErrorOptions) {
    super('bad-config', message, options);
  }
}

/** Runs what reads a part of the command line: whatever it refuses as `bad-config` is a wrong call. */
export function asUsage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof GraftError && error.code === 'bad-config') {
      throw new UsageError(error.message, { cause: error });
    }
    throw error;
  }
}
