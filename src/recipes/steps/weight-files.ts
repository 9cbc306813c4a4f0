/** The weight files of a model folder, planned before the first tensor arrives and written as the tensors pass by. */
import { parameters } from '../../core/spec';
import type { HubModel } from '../../formats/model';
import { safetensorsHeader, tensorBytes, type TensorShape } from '../../formats/safetensors';

/**
 * Weights past this many bytes are split over several files. Transformers splits at 5 GB; Chrome gives a buffer at most
 * 2 GiB, a store without pieces needs a file in one buffer beside its tensors, and a reader may want it in one as well.
 */
const SHARD_BYTES = 2 ** 30;

const METADATA = { format: 'pt' };

export interface WeightFile {
  readonly name: string;
  /** Of the whole file. */
  readonly size: number;
  readonly header: Uint8Array;
  /** In the order of their bytes. */
  readonly tensors: readonly TensorShape[];
}

/** The files that hold a model's weights in the types they are stored in, under the names that Transformers gives. */
export function planWeightFiles(
  { spec, dtypes }: Pick<HubModel, 'spec' | 'dtypes'>,
  shardBytes = SHARD_BYTES,
): WeightFile[] {
  const shapes = new Map(parameters(spec).map(({ name, shape }) => [name, shape]));
  const tensors = [...dtypes].map(([name, dtype]) => ({ name, dtype, shape: shapes.get(name)! }));
  return planTensorFiles(tensors, shardBytes);
}

/** The files that hold these tensors, in the order in which they come. */
export function planTensorFiles(planned: Iterable<TensorShape>, shardBytes = SHARD_BYTES): WeightFile[] {
  const groups: TensorShape[][] = [[]];
  let bytes = 0;
  for (const tensor of planned) {
    const size = tensorBytes(tensor);
    if (bytes > 0 && bytes + size > shardBytes) {
      groups.push([]);
      bytes = 0;
    }
    bytes += size;
    groups.at(-1)!.push(tensor);
  }
  return groups.map((group, i) => {
    const tensors = aligned(group);
    const header = safetensorsHeader(tensors, METADATA);
    return { name: fileName(i, groups.length), size: header.byteLength + sumOf(tensors), header, tensors };
  });
}

/**
 * As they arrive, so that none has to wait in memory, where each then begins at a multiple of its element's size; else the
 * widest first.
 */
function aligned(tensors: readonly TensorShape[]): readonly TensorShape[] {
  let offset = 0;
  for (const tensor of tensors) {
    if (offset % elementBytes(tensor) !== 0) return [...tensors].sort((a, b) => elementBytes(b) - elementBytes(a));
    offset += tensorBytes(tensor);
  }
  return tensors;
}

/** A tensor on its way into a file. */
export interface WrittenTensor {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The bytes of a file, taken from the tensors of all files as they come. Each is held until those before it are written. */
export async function* piecesOf(file: WeightFile, tensors: AsyncIterator<WrittenTensor>): AsyncGenerator<Uint8Array> {
  yield file.header;
  const waiting = new Map<string, Uint8Array>();
  for (const expected of file.tensors) {
    while (!waiting.has(expected.name)) {
      const next = await tensors.next();
      if (next.done === true) throw new Error(`the weights end before ${expected.name}`);
      waiting.set(next.value.name, next.value.bytes);
    }
    const bytes = waiting.get(expected.name)!;
    waiting.delete(expected.name);
    if (bytes.byteLength !== tensorBytes(expected))
      throw new Error(`${expected.name} comes in another type than planned`);
    yield bytes;
  }
}

/** model.safetensors.index.json: where each tensor is, and the bytes of all of them. */
export function indexOf(files: readonly WeightFile[]): string {
  const map = Object.fromEntries(files.flatMap(({ name, tensors }) => tensors.map((tensor) => [tensor.name, name])));
  const total = files.reduce((sum, { tensors }) => sum + sumOf(tensors), 0);
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)}\n`;
}

function sumOf(tensors: readonly TensorShape[]): number {
  return tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
}

function elementBytes({ dtype }: TensorShape): number {
  return tensorBytes({ dtype, shape: [1] });
}

function fileName(i: number, count: number): string {
  const padded = (n: number) => String(n).padStart(5, '0');
  return count === 1 ? 'model.safetensors' : `model-${padded(i + 1)}-of-${padded(count)}.safetensors`;
}
