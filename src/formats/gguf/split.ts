/**
 * Models in several GGUF files, as llama.cpp's `gguf-split` writes them: `NAME-00001-of-00003.gguf` and so on. The first
 * holds the metadata, and each says under `split.*` which of how many it is.
 * https://github.com/ggml-org/llama.cpp/blob/master/tools/gguf-split
 */
import { GraftError } from '../../core/errors';
import { formatCount, quote } from '../../core/format';
import type { FileSource } from '../../core/store';
import { readGgufHeader, type GgufHeader } from './header';

const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** The files of the model that `file` belongs to, in their order: itself alone, unless its name says that it is a part. */
export function partsOf(file: string): string[] {
  const [, name, no, total] = PART.exec(file) ?? [];
  if (total === undefined || Number(no) < 1 || Number(no) > Number(total)) return [file];
  const number = (i: number) => String(i).padStart(5, '0');
  return Array.from({ length: Number(total) }, (_, i) => `${name}-${number(i + 1)}-of-${total}.gguf`);
}

/** One of each model's files, the first where it is there. @param files all .gguf files of a folder, sorted */
export function firstOfEach(files: readonly string[]): string[] {
  const models = new Map(files.toReversed().map((file) => [partsOf(file)[0], file]));
  return [...models.values()].toReversed();
}

/**
 * The metadata of a model and the tensors of all its files.
 * @param file any of them
 * @throws `not-found` where a part is missing; as `readGgufHeader` throws
 */
export async function readGguf(source: FileSource, file: string): Promise<GgufHeader> {
  const files = partsOf(file);
  const [first, ...rest] = files as [string, ...string[]];
  for (const part of files) {
    if ((await source.size(part)) !== undefined) continue;
    throw new GraftError(
      'not-found',
      files.length === 1
        ? `${source.name} has no file ${part}.`
        : `${source.name} lacks ${part}: a model in ${files.length} files needs all of them.`,
    );
  }
  const header = await readGgufHeader(source, first);
  checkPlace(header, 0, files.length);
  const tensors = [...header.tensors];
  const names = new Set(tensors.map(({ name }) => name));
  for (const [i, part] of rest.entries()) {
    const more = await readGgufHeader(source, part);
    checkPlace(more, i + 1, files.length);
    for (const tensor of more.tensors) {
      if (names.has(tensor.name)) {
        throw new GraftError(
          'bad-file',
          `${part} holds the tensor ${tensor.name}, which another part holds: it is damaged.`,
        );
      }
      names.add(tensor.name);
      tensors.push(tensor);
    }
  }
  const claimed = header.metadata.get('split.tensors.count'); // of all parts
  if (claimed !== undefined && claimed !== tensors.length) {
    throw new GraftError(
      'bad-file',
      `${first} belongs to a model of ${formatCount(Number(claimed))} tensors, but its files hold ${formatCount(tensors.length)}: download them again.`,
    );
  }
  return { ...header, tensors };
}

/** A file by itself is whole; a part is what its name says. */
function checkPlace({ file, metadata }: GgufHeader, place: number, count: number): void {
  const [no, total] = [metadata.get('split.no') ?? 0, metadata.get('split.count') ?? 1];
  if (no === place && (total === count || (total === 0 && count === 1))) return;
  throw new GraftError(
    'bad-file',
    `${file} has split.no ${quote(no)} and split.count ${quote(total)}, where its name says part ${place + 1} of ${count}: give the files their own names again.`,
  );
}
