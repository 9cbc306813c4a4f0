import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** Cases as people have them, with other software's answers; tests that read them are skipped where they are absent. */
const fieldDir = resolve(process.env['GRAFT_FIELD'] ?? '../shared/field');
export const hasField = existsSync(resolve(fieldDir, 'README.md'));

export function field(...path: string[]): string {
  return resolve(fieldDir, ...path);
}
