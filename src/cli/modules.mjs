/** Installs npm packages that are missing. Built-in modules only: nothing else is there yet on a fresh clone. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const projectFolder = fileURLToPath(new URL('../..', import.meta.url));

/** @param {string} file @returns {Record<string, { version?: string, optional?: boolean }>} */
function lockedPackages(file) {
  return JSON.parse(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')).packages;
}

/** Whether node_modules holds what package-lock.json says. Optional packages (other platforms' binaries) may be absent. */
function modulesAreCurrent() {
  const installedFile = 'node_modules/.package-lock.json';
  if (!existsSync(new URL(`../../${installedFile}`, import.meta.url))) return false;
  const installed = lockedPackages(installedFile);
  return Object.entries(lockedPackages('package-lock.json')).every(
    ([path, entry]) => path === '' || (installed[path]?.version ?? (entry.optional && entry.version)) === entry.version,
  );
}

/** Brings node_modules in line with package-lock.json; ends the process with npm's exit code where that fails. */
export function ensureModules() {
  if (modulesAreCurrent()) return;
  console.log('Installing npm packages …');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: projectFolder,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (status !== 0) process.exit(status ?? 1);
}
