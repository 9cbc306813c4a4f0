/** The tiny random Llama of the unit tests as a folder of the disk, and rows of token ids for it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeUtf8 } from '../../src/core/store';
import { tinyModel, tokenRows } from '../unit/recipes/support';

/** Writes `config.json` and `model.safetensors`, the same bytes each time. */
export async function writeTinyModel(folder: string): Promise<void> {
  const source = await tinyModel();
  await mkdir(folder, { recursive: true });
  for (const file of await source.list()) await writeFile(join(folder, file), await source.read(file));
}

/** JSONL rows of `input_ids` and `labels`. */
export function tinyRows(count: number): string {
  return decodeUtf8(tokenRows(count));
}
