import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect } from 'vitest';
import type { ErrorCode } from '../../../src/core/errors';
import { GraftError } from '../../../src/core/errors';
import type { FileSource } from '../../../src/core/store';
import { encodeUtf8 } from '../../../src/core/store';
import { memorySource } from '../../../src/formats/sources';

/** A folder of the disk, read into memory. */
export function folder(path: string): FileSource {
  const files = readdirSync(path).filter((file) => statSync(join(path, file)).isFile());
  return memorySource(
    basename(path),
    Object.fromEntries(files.map((file) => [file, new Uint8Array(readFileSync(join(path, file)))])),
  );
}

/** A folder in memory: text and JSON values become UTF-8 files. */
export function files(contents: Record<string, Uint8Array | string | object>): FileSource {
  const bytes = Object.entries(contents).map(([name, content]): [string, Uint8Array] => [
    name,
    content instanceof Uint8Array
      ? content
      : encodeUtf8(typeof content === 'string' ? content : JSON.stringify(content)),
  ]);
  return memorySource('test-model', Object.fromEntries(bytes));
}

/** Expects a GraftError of this code whose message matches. */
export async function expectError(action: () => unknown, code: ErrorCode, message: RegExp): Promise<void> {
  let error: unknown;
  try {
    await action();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(GraftError);
  expect((error as GraftError).code).toBe(code);
  expect((error as GraftError).message).toMatch(message);
}
