/** What lets models open without a connection, in a folder: a file a model, and one a revision. */
import { join } from 'node:path';
import { sha256 } from '../core/hash';
import { decodeUtf8, encodeUtf8 } from '../core/store';
import type { KnownRevision, ModelOpening, OpeningCache } from '../core/weight-cache';
import { readOpening, sealRevision, unsealRevision } from '../storage/openings';
import { cacheFolder } from './cache-folder';
import { FolderStore } from './folders';

/** SHA-256 of all that follows, in hex; a length; JSON of that length; the bytes of its reads, in their order. */
interface Index extends Omit<ModelOpening, 'reads' | 'sizes' | 'hashes'> {
  readonly sizes: { readonly file: string; readonly size?: number }[];
  readonly hashes: { readonly file: string; readonly sha256?: string }[];
  readonly reads: { readonly file: string; readonly start: number; readonly end?: number; readonly length: number }[];
}

const HASH_BYTES = 64;
const LENGTH_BYTES = 4;

export function openingsFolder(environment: NodeJS.ProcessEnv): FolderOpenings {
  return new FolderOpenings(join(cacheFolder(environment), 'openings'));
}

export class FolderOpenings implements OpeningCache {
  private readonly store: FolderStore;

  constructor(root: string) {
    this.store = new FolderStore(root);
  }

  /** A file that isn't what was written counts as none. */
  async opening(model: string): Promise<ModelOpening | undefined> {
    const bytes = await this.store.read(await fileName('model', model));
    try {
      return bytes && (await unpack(bytes));
    } catch {
      return undefined;
    }
  }

  async keepOpening(model: string, opening: ModelOpening): Promise<void> {
    await this.store.write(await fileName('model', model), await pack(opening));
  }

  async forgetOpening(model: string): Promise<void> {
    await this.store.remove(await fileName('model', model));
  }

  async revision(repository: string, revision: string): Promise<KnownRevision | undefined> {
    const bytes = await this.store.read(await fileName('revision', `${repository}\n${revision}`));
    try {
      return bytes && (await unsealRevision(repository, revision, JSON.parse(decodeUtf8(bytes))));
    } catch {
      return undefined;
    }
  }

  async keepRevision(repository: string, revision: string, known: KnownRevision): Promise<void> {
    const name = await fileName('revision', `${repository}\n${revision}`);
    const sealed = await sealRevision(repository, revision, known);
    await this.store.write(name, encodeUtf8(`${JSON.stringify(sealed)}\n`));
  }
}

async function fileName(kind: string, key: string): Promise<string> {
  return `${kind}-${(await sha256(encodeUtf8(key))).slice(0, 32)}`;
}

async function pack({ reads, ...rest }: ModelOpening): Promise<Uint8Array> {
  const described = reads.map(({ bytes, ...read }) => ({ ...read, length: bytes.byteLength }));
  const json = encodeUtf8(JSON.stringify({ ...rest, reads: described }));
  const length = new Uint8Array(Uint32Array.of(json.byteLength).buffer);
  const content = Buffer.concat([length, json, ...reads.map(({ bytes }) => bytes)]);
  return Buffer.concat([encodeUtf8(await sha256(content)), content]);
}

async function unpack(file: Uint8Array): Promise<ModelOpening | undefined> {
  const packed = file.subarray(HASH_BYTES);
  if ((await sha256(packed)) !== decodeUtf8(file.subarray(0, HASH_BYTES))) throw new Error('the file is damaged');
  const length = new DataView(packed.buffer, packed.byteOffset).getUint32(0, true);
  let at = LENGTH_BYTES + length;
  const index = JSON.parse(decodeUtf8(packed.subarray(LENGTH_BYTES, at))) as Index;
  const reads = index.reads.map(({ length: size, ...read }) => {
    const bytes = new Uint8Array(packed.subarray(at, at + size));
    at += size;
    return { ...read, bytes };
  });
  return readOpening({ ...index, reads });
}
