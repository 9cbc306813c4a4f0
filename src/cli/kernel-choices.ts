/** The choices between kernels, in the user's cache folder: a small JSON file by adapter, which may go at any time. */
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { KernelChoiceStore } from '../core/kernel-choices';
import { decodeUtf8, encodeUtf8 } from '../core/store';
import { FolderStore } from './folders';

/** Where the platform keeps caches: XDG's base directories, macOS's Library, Windows's local application data. */
export function cacheFolder(environment: NodeJS.ProcessEnv, platform = process.platform, home = homedir()): string {
  if (platform === 'win32') return join(environment['LOCALAPPDATA'] || join(home, 'AppData', 'Local'), 'graft');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'graft');
  return join(environment['XDG_CACHE_HOME'] || join(home, '.cache'), 'graft');
}

export function kernelChoicesIn(folder: string): KernelChoiceStore {
  const store = new FolderStore(folder);
  return {
    async read(adapter) {
      const bytes = await store.read(fileOf(adapter));
      return bytes && (JSON.parse(decodeUtf8(bytes)) as unknown);
    },
    write: (adapter, choices) => store.write(fileOf(adapter), encodeUtf8(`${JSON.stringify(choices, null, 1)}\n`)),
  };
}

function fileOf(adapter: string): string {
  return `kernels-${createHash('sha256').update(adapter).digest('hex').slice(0, 16)}.json`;
}
