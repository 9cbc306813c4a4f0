/** What the command line keeps of models, in the user's cache folder. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sha256 } from '../core/hash';
import { encodeUtf8, type FileSource } from '../core/store';
import { openModel, type HubModel } from '../formats/model';
import { modelIdentity } from '../hub/names';
import type { ModelCache } from '../recipes';
import { openKept } from '../storage/recording';
import { ShardedWeightCache } from '../storage/weights';
import type { Arguments, Flag } from './arguments';
import { cacheFolder } from './cache-folder';
import { openingsFolder } from './opening-folder';
import type { Terminal } from './terminal';
import { FolderBackend } from './weight-folder';

export const CACHE_FLAGS: Readonly<Record<string, Flag>> = {
  'no-cache': { help: 'neither read nor keep weights in the cache (see graft cache)' },
};

/** A smaller model is read anew as fast. */
const LEAST_BYTES = 256 * 2 ** 20;

export function openWeightCache(): ShardedWeightCache {
  return new ShardedWeightCache(new FolderBackend(join(cacheFolder(process.env), 'weights')));
}

/**
 * Opens a model. What that read of one on the Hub is kept, and read again next time, with or without a connection.
 * `say` hears where it can't be kept.
 * @throws what `openModel` throws
 */
export function openSource(source: FileSource, say: (line: string) => void): Promise<HubModel> {
  const identity = hubIdentity(source);
  if (identity === undefined) return openModel(source);
  return openKept(openingsFolder(process.env), identity, source, openModel, say);
}

/** What a model of the Hub is kept under; undefined for others. A GGUF model there has its file behind the repository's name. */
export function hubIdentity({ name, commit }: Pick<HubModel, 'name' | 'commit'>): string | undefined {
  if (commit === undefined) return undefined;
  return modelIdentity(name.split('/', 2).join('/'), commit, process.env['HF_ENDPOINT'] || undefined);
}

/**
 * Where the weights of a model are kept: of the Hub's in any form, and of a folder's, which are on the disk already, the
 * 4 bits that they become.
 */
export async function folderCache(
  args: Arguments,
  model: Pick<HubModel, 'name' | 'commit' | 'weightBytes'>,
  inFourBits: boolean,
  terminal: Terminal,
): Promise<ModelCache | undefined> {
  if (args.has('no-cache')) return undefined;
  const identity = hubIdentity(model);
  if (identity !== undefined) return modelCache(identity, terminal);
  if (!inFourBits || model.weightBytes < LEAST_BYTES) return undefined;
  return modelCache(await folderIdentity(model.name), terminal);
}

/** Where the weights of a model of that identity are kept. */
export function modelCache(model: string, terminal: Terminal): ModelCache {
  const openings = openingsFolder(process.env);
  return { weights: openWeightCache(), openings, model, onNotKept: (message) => terminal.say(message) };
}

/** A folder's path, or a GGUF file's, with a fingerprint of its weight files: names, sizes and times of their last change. */
async function folderIdentity(path: string): Promise<string> {
  const isFolder = (await stat(path)).isDirectory();
  const folder = isFolder ? path : dirname(path);
  const files = isFolder
    ? (await readdir(path)).filter((file) => /\.(safetensors|gguf|json)$/i.test(file)).sort()
    : [basename(path)];
  const lines = await Promise.all(
    files.map(async (file) => {
      const { size, mtimeMs } = await stat(join(folder, file));
      return `${file} ${size} ${mtimeMs}\n`;
    }),
  );
  return `${await realpath(path)}@${(await sha256(encodeUtf8(lines.join('')))).slice(0, 12)}`;
}
