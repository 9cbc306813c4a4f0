import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** The folder of other people's models and golden files; tests that read it are skipped where it is absent. */
const referenceDir = resolve(process.env['GRAFT_REFERENCE'] ?? '../shared/reference');
export const hasReference = existsSync(resolve(referenceDir, 'README.md'));

export function reference(...path: string[]): string {
  return resolve(referenceDir, ...path);
}
