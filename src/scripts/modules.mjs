/** Installs npm packages that are missing. Built-in modules only: nothing else is there yet on a fresh clone. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectFolder = fileURLToPath(new URL('../..', import.meta.url));

/** @typedef {{ version?: string, optional?: boolean, dev?: boolean, devOptional?: boolean }} Locked */

/** @param {string} file @returns {Record<string, Locked>} */
function readLock(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/**
 * Whether a folder's node_modules holds what its package-lock.json says. Optional packages (other platforms' binaries)
 * may be absent, and without `dev` those that only the tests need.
 * @param {string} folder @param {boolean} dev
 */
export function modulesAreCurrent(folder, dev) {
  const installedFile = join(folder, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const installed = readLock(installedFile);
  return Object.entries(readLock(join(folder, 'package-lock.json'))).every(([path, entry]) => {
    const version = installed[path]?.version;
    if (version !== undefined || path === '') return path === '' || version === entry.version;
    return Boolean(entry.optional || (!dev && (entry.dev || entry.devOptional)));
  });
}

/**
 * Brings a folder's node_modules in line with its package-lock.json; ends the process with npm's exit code where that
 * fails.
 * @param {{ folder?: string, dev?: boolean, flags?: string[] }} [what] the project's own packages, with those of its tests,
 * by default; `flags` are npm's
 */
export function ensureModules({ folder = projectFolder, dev = true, flags = [] } = {}) {
  if (modulesAreCurrent(folder, dev)) return;
  const command = ['ci', '--no-audit', '--no-fund', ...(dev ? [] : ['--omit=dev']), ...flags];
  console.log(`Installing npm packages in ${folder} …`);
  const { status } = spawnSync('npm', command, { cwd: folder, stdio: 'inherit', shell: process.platform === 'win32' });
  if (status !== 0) process.exit(status ?? 1);
}
