/** Where the command line keeps what may go at any time. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The folder that GRAFT_CACHE names, else Graft's own where the platform keeps caches (XDG's base directories). */
export function cacheFolder(
  environment: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
  home = homedir(),
): string {
  const own = environment['GRAFT_CACHE'];
  if (own) return own;
  if (platform === 'win32') return join(environment['LOCALAPPDATA'] || join(home, 'AppData', 'Local'), 'graft');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'graft');
  return join(environment['XDG_CACHE_HOME'] || join(home, '.cache'), 'graft');
}
