/** Folders and files that the user hands to the page, and files that the page hands back. */
import { GraftError } from '../../core/errors';
import { cut } from '../../core/format';
import type { ExportedFile } from '../../protocol/exports';
import { zipBlob } from './zip';

export interface ChosenFolder {
  readonly name: string;
  readonly files: File[];
}

/** The part of the File System Access API that Graft uses; TypeScript's own types lack the picker. */
interface FolderHandle {
  readonly name: string;
  values(): AsyncIterable<{ kind: 'directory' } | { kind: 'file'; getFile(): Promise<File> }>;
}

const { showDirectoryPicker } = globalThis as { showDirectoryPicker?: () => Promise<FolderHandle> };

/** Whether the browser opens folders by itself; elsewhere `<input webkitdirectory>` hands over all that is in one. */
export const canPickFolder = showDirectoryPicker !== undefined;

/**
 * A folder that the user picks; undefined where they don't.
 * @throws `storage` where it can't be read
 */
export async function pickFolder(): Promise<ChosenFolder | undefined> {
  const handle = await showDirectoryPicker!().catch((error: unknown) => {
    if ((error as { name?: unknown }).name === 'AbortError') return undefined;
    throw error;
  });
  if (!handle) return undefined;
  const files: File[] = [];
  try {
    for await (const entry of handle.values()) if (entry.kind === 'file') files.push(await entry.getFile());
  } catch (cause) {
    refuse(handle.name, cause);
  }
  return { name: handle.name, files };
}

/** The files of `<input webkitdirectory>`; their paths begin with the folder's name. */
export function chosenFolder(list: FileList): ChosenFolder | undefined {
  const files = [...list];
  const [first] = files;
  return first && { name: first.webkitRelativePath.split('/')[0] || 'folder', files };
}

/** Loose files: a model in one file goes by its name. */
export function chosenFiles(files: readonly File[]): ChosenFolder | undefined {
  const weights = files.filter(({ name }) => /\.(gguf|safetensors)$/i.test(name));
  const [single] = weights;
  const name = weights.length === 1 && single ? single.name.replace(/\.\w+$/, '') : 'opened files';
  return files.length > 0 ? { name, files: [...files] } : undefined;
}

/**
 * What was dropped: a folder (its own files, without sub-folders), or loose files.
 * @throws `storage` where the folder can't be read
 */
export async function droppedFolder(transfer: DataTransfer): Promise<ChosenFolder | undefined> {
  const loose = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const folder = entries.find((entry): entry is FileSystemDirectoryEntry => entry?.isDirectory === true);
  if (folder)
    return { name: folder.name, files: await filesOf(folder).catch((cause: unknown) => refuse(folder.name, cause)) };
  return chosenFiles(loose);
}

/** Whether what was dropped is a model, by what is known before anything is read. */
export function isModelDrop(transfer: DataTransfer): boolean {
  const isFolder = [...transfer.items].some((item) => item.webkitGetAsEntry()?.isDirectory);
  return isFolder || [...transfer.files].some(({ name }) => /\.(gguf|safetensors)$/i.test(name));
}

function refuse(folder: string, cause: unknown): never {
  const message = `${folder} can't be read: it was changed or moved, or the browser may not read it. Choose it again.`;
  throw new GraftError('storage', message, { cause });
}

async function filesOf(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    // A reader answers in batches, and with an empty one at the end.
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return files;
    for (const entry of batch) {
      if (!entry.isFile) continue;
      const file = entry as FileSystemFileEntry;
      files.push(await new Promise<File>((resolve, reject) => file.file(resolve, reject)));
    }
  }
}

export async function downloadAsZip(files: readonly ExportedFile[], name: string): Promise<void> {
  download(await zipBlob(files, name), `${name}.zip`);
}

export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken the blob by the time the click's task is over; Safari needs a little longer.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** What the download of an unfinished run is called. */
export function checkpointName({ name, checkpointStep }: { name: string; checkpointStep: number }): string {
  return fileName(`${name}-step-${checkpointStep}`);
}

/** A name that every file system takes. */
export function fileName(text: string): string {
  const name = text.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '');
  return cut(name, 80) || 'adapter';
}
