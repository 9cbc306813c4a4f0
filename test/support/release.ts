/** Releases of the page as a static host has them: copies of the built page whose scripts have other names. */
import { cpSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildServiceWorker } from '../../src/scripts/keep-page.mjs';

/**
 * Puts the built page into `folder`, in place of what is there. Every script and style of it has `mark` in its name, as of
 * another build, and the page has it in `data-release`. `hosts` are those that the page may ask, the first its Hub.
 */
export async function deployRelease(
  folder: string,
  mark: string,
  hosts: readonly [string, ...string[]],
): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  cpSync('dist/web', folder, { recursive: true });
  const assets = join(folder, 'assets');
  const names = readdirSync(assets);
  const marked = (name: string) => name.replace(/\.(\w+)$/, `${mark}.$1`);
  const anyName = new RegExp(names.map((name) => name.replace(/\W/g, '\\$&')).join('|'), 'g');
  const rename = (path: string) => writeFileSync(path, readFileSync(path, 'utf8').replace(anyName, marked));
  for (const name of names) {
    rename(join(assets, name));
    renameSync(join(assets, name), join(assets, marked(name)));
  }
  const page = join(folder, 'index.html');
  rename(page);
  const html = readFileSync(page, 'utf8')
    .replace("connect-src 'self'", `connect-src 'self' ${hosts.join(' ')}`)
    .replace(/(<meta name="graft-hub" content=")[^"]*/, `$1${hosts[0]}`)
    .replace('<html', `<html data-release="${mark}"`);
  writeFileSync(page, html);
  await buildServiceWorker('src/ui/offline/service-worker.ts', folder);
}
