/** Zips of files that may be larger than memory: written as they are made, never held whole. */
import { downloadZip } from 'client-zip';
import { BlobParts } from '../../core/blob-parts';
import type { ExportedFile } from '../../protocol/exports';

/** The part of the File System Access API that is used here; TypeScript's own types lack the picker. */
export interface ZipTarget {
  createWritable(): Promise<WritableStream<Uint8Array>>;
}

type Picker = (options: { suggestedName: string }) => Promise<ZipTarget>;

/**
 * Where the user wants the zip, asked before the work: a browser opens its dialog only right after a click. Undefined
 * where the browser has no such dialog, and the zip becomes a download; null where the user closed it.
 */
export async function pickZipTarget(name: string): Promise<ZipTarget | undefined | null> {
  const { showSaveFilePicker } = globalThis as { showSaveFilePicker?: Picker };
  if (!showSaveFilePicker) return undefined;
  return showSaveFilePicker({ suggestedName: `${name}.zip` }).catch((error: unknown) => {
    if ((error as { name?: unknown }).name === 'AbortError') return null;
    throw error;
  });
}

/** Writes the files as a zip, in a folder `name`, to the place that was picked; what is there is whole or the old file. */
export async function writeZip(files: readonly ExportedFile[], name: string, target: ZipTarget): Promise<void> {
  await zipStream(files, name).pipeTo(await target.createWritable());
}

/** The same as a blob for a download, made of blobs: of the zip no more than a part is in this page's memory. */
export async function zipBlob(files: readonly ExportedFile[], name: string): Promise<Blob> {
  const parts = new BlobParts();
  const reader = zipStream(files, name).getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) parts.add(next.value);
  return parts.blob('application/zip');
}

function zipStream(files: readonly ExportedFile[], name: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  const lastModified = new Date();
  const entries = files.map((file) => ({ name: `${name}/${file.name}`, input: file.blob, lastModified }));
  return downloadZip(entries).body!;
}
