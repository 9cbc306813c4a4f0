/** Writing a Hub model folder: its weight files as their tensors come, the index over them, and the files around them. */
import { throwIfCancelled } from '../../core/errors';
import { encodeUtf8, writePieces, type FileSource, type RunStore } from '../../core/store';
import { modelFolderFiles, NOT_ASKED, type FolderOptions } from './model-folder';
import { indexOf, piecesOf, type WeightFile, type WrittenTensor } from './weight-files';

interface ModelFolderInput extends FolderOptions {
  readonly store: RunStore;
  /** The base model's folder. */
  readonly modelFiles: FileSource;
  readonly files: readonly WeightFile[];
  /** Every tensor of the files; ended here, however far it was read. */
  readonly weights: AsyncGenerator<WrittenTensor>;
}

/** @returns the names of the files written @throws `storage`, `cancelled`, and what `weights` throws */
export async function writeModelFolder(
  { store, modelFiles, files, weights, asked, ...options }: ModelFolderInput,
  signal?: AbortSignal,
): Promise<string[]> {
  try {
    for (const file of files) {
      throwIfCancelled(signal);
      await writePieces(store, file.name, file.size, piecesOf(file, weights));
    }
  } finally {
    await weights.return(undefined);
  }
  const index = files.length > 1 ? [{ name: 'model.safetensors.index.json', bytes: encodeUtf8(indexOf(files)) }] : [];
  // Whether the fallback was trained is not known of an adapter that brings no template.
  const trained = asked.template?.source === 'alpaca' ? NOT_ASKED : asked;
  const around = [...index, ...(await modelFolderFiles(modelFiles, { asked: trained, ...options }))];
  for (const { name, bytes } of around) await store.write(name, bytes);
  return [...files, ...around].map(({ name }) => name);
}
