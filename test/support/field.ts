import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Files as people have them, with the right answers; tests that read them are skipped where they are absent. */
const fieldDir = resolve(process.env['GRAFT_FIELD'] ?? '../shared/field');
export const hasField = existsSync(resolve(fieldDir, 'README.md'));

export function field(...path: string[]): string {
  return resolve(fieldDir, ...path);
}
