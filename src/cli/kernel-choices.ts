/** The choices between kernels, in the user's cache folder: a small JSON file by adapter, which may go at any time. */
import { createHash } from 'node:crypto';
import type { KernelChoiceStore } from '../core/kernel-choices';
import { decodeUtf8, encodeUtf8 } from '../core/store';
import { sealedChoices } from '../storage/kernel-choices';
import { FolderStore } from './folders';

export function kernelChoicesIn(folder: string): KernelChoiceStore {
  const store = new FolderStore(folder);
  return sealedChoices({
    async read(adapter) {
      const bytes = await store.read(fileOf(adapter));
      return bytes && (JSON.parse(decodeUtf8(bytes)) as unknown);
    },
    write: (adapter, value) => store.write(fileOf(adapter), encodeUtf8(`${JSON.stringify(value, null, 1)}\n`)),
  });
}

function fileOf(adapter: string): string {
  return `kernels-${createHash('sha256').update(adapter).digest('hex').slice(0, 16)}.json`;
}
