/** Whether a model whose config ties its head to its embedding does so, where its files hold both. */
import { BYTES_PER_ELEMENT, toFloat32 } from '../core/dtypes';
import { EMBEDDING, HEAD, type DecoderSpec } from '../core/spec';
import type { FileSource } from '../core/store';
import { FileReader } from './file-reader';
import { weightDType, type SafetensorsHeader, type TensorEntry } from './safetensors';

/** The first piece is small: heads that were trained by themselves differ at once. */
const FIRST_ELEMENTS = 2 ** 14;
const ELEMENTS = 2 ** 22;

/** A tensor, and the file that it is in. */
interface Stored {
  readonly file: string;
  readonly entry: TensorEntry;
}

/**
 * The spec with the head that the files hold, and a notice where that is another than config.json says: as Transformers
 * does, a stored head that differs from the embedding is kept. Both are read as far as they are alike.
 */
export async function withStoredHead(
  source: FileSource,
  spec: DecoderSpec,
  headers: readonly SafetensorsHeader[],
): Promise<{ spec: DecoderSpec; notices: string[] }> {
  const embedding = findTensor(headers, EMBEDDING);
  const head = findTensor(headers, HEAD);
  if (!spec.tieWordEmbeddings || !embedding || !head) return { spec, notices: [] };
  if (await areEqual(source, embedding, head)) return { spec, notices: [] };
  const notice =
    `config.json of ${source.name} says tie_word_embeddings: true, but its files hold an ${HEAD} that differs from ` +
    `${EMBEDDING}: the stored head is used, as Transformers does.`;
  return { spec: { ...spec, tieWordEmbeddings: false }, notices: [notice] };
}

function findTensor(headers: readonly SafetensorsHeader[], name: string): Stored | undefined {
  for (const { file, tensors } of headers) {
    const entry = tensors.find((tensor) => tensor.name === name);
    if (entry) return { file, entry };
  }
  return undefined;
}

/** Only the answer is kept of what is read here, not the tensors. */
async function areEqual(source: FileSource, a: Stored, b: Stored): Promise<boolean> {
  if (a.entry.shape.join() !== b.entry.shape.join()) return false;
  const compare = async (files: FileSource) => Uint8Array.of((await sameValues(files, a, b)) ? 1 : 0);
  const [answer] = await (source.remember?.(`${HEAD} = ${EMBEDDING}`, compare) ?? compare(source));
  return answer === 1;
}

async function sameValues(source: FileSource, a: Stored, b: Stored): Promise<boolean> {
  const dtypes = [weightDType(a.entry.dtype), weightDType(b.entry.dtype)] as const;
  const [first, second] = dtypes;
  if (!first || !second) return a.entry.dtype === b.entry.dtype; // refused later, by name
  const readers = [a, b].map(({ file, entry }) => FileReader.at(source, file, entry.start, undefined));
  const total = a.entry.shape.reduce((product, n) => product * n, 1);
  let count = FIRST_ELEMENTS;
  for (let done = 0; done < total; done += count, count = ELEMENTS) {
    count = Math.min(count, total - done);
    const [mine, others] = await Promise.all([
      readers[0]!.takeBytes(count * BYTES_PER_ELEMENT[first], `tensor ${a.entry.name}`),
      readers[1]!.takeBytes(count * BYTES_PER_ELEMENT[second], `tensor ${b.entry.name}`),
    ]);
    const alike =
      first === second ? equalBytes(mine, others) : equalValues(toFloat32(mine, first), toFloat32(others, second));
    if (!alike) return false;
  }
  return true;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}

function equalValues(a: Float32Array, b: Float32Array): boolean {
  return a.every((value, i) => Object.is(value, b[i]) || value === b[i]);
}
