/** Where the build finds the project. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Vite evaluates its configuration, and so this module, anew for every build of a process. */
const LINKS = Symbol.for('graft.build-folders');

/**
 * A path of a folder that Vite can work with. It takes what follows a `#` or a `?` in a path for a part of a URL, so
 * such a folder is reached through a link, which goes with the process.
 * @param {string} folder
 * @returns {string}
 */
export function buildFolder(folder) {
  if (!/[#?]/.test(folder)) return folder;
  const shared = /** @type {{ [LINKS]?: Map<string, string> }} */ (globalThis);
  const links = (shared[LINKS] ??= new Map());
  const link = links.get(folder) ?? linkTo(folder);
  links.set(folder, link);
  return link;
}

/** @param {string} folder */
function linkTo(folder) {
  const parent = mkdtempSync(join(tmpdir(), 'graft-build-'));
  process.on('exit', () => rmSync(parent, { recursive: true, force: true }));
  const link = join(parent, 'graft');
  symlinkSync(folder, link, 'junction');
  return link;
}
