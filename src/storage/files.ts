/** Files that the user chose or dropped, as a folder. */
import { GraftError } from '../core/errors';
import type { FileSource } from '../core/store';

/** Files of sub-folders are left out: a model folder in the Hub's layout is flat. */
export function fileListSource(name: string, files: readonly File[]): FileSource {
  const held = new Map<string, File>();
  for (const file of files) {
    const depth = file.webkitRelativePath.split('/').length;
    if (depth <= 2) held.set(file.name, file);
  }
  return {
    name,
    list: () => Promise.resolve([...held.keys()]),
    size: (file) => Promise.resolve(held.get(file)?.size),
    async read(file, start = 0, end?) {
      const found = held.get(file);
      if (!found) throw new GraftError('not-found', `${name} has no file ${file}.`);
      try {
        return new Uint8Array(await found.slice(start, end).arrayBuffer());
      } catch (cause) {
        throw new GraftError('storage', `${file} of ${name} can't be read any more: open the folder again.`, { cause });
      }
    },
  };
}
