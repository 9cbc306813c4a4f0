/** What a run trains, as it leaves the session and comes back: parameters, gradients, and the moments beside them. */
import { elementCount } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { ParameterSpec } from '../../core/spec';
import { wholeTensor, type StateEntry, type StateTensor, type WeightTensor } from '../../core/weights';
import type { GroupBuffer, GroupTensor } from '../compile/groups';
import { byWhole, joinParts, wholeShape } from '../compile/parts';
import type { Memory } from '../runtime/memory';
import { checkTensors, converted } from '../runtime/upload';
import type { SessionCore } from './view';

/** The most bytes of a state that are in memory at once: what the session reads back at once, and whole words. */
const PIECE_BYTES = 4 * 2 ** 20;

export class TrainedState {
  constructor(
    private readonly memory: Memory,
    /** In the order of the forward pass. */
    private readonly trained: readonly ParameterSpec[],
    private readonly buffers: readonly GroupBuffer[],
  ) {}

  /** One f32 tensor for each trained parameter, in the order of the forward pass. */
  async parameters(): Promise<WeightTensor[]> {
    const order = new Map(this.trained.map(({ name }, i) => [name, i]));
    const tensors = (await this.readParameters()).map((tensor) => ({ ...tensor, dtype: 'f32' as const }));
    return tensors.sort((a, b) => order.get(a.name)! - order.get(b.name)!);
  }

  /** All that a state is made of, each tensor read piece by piece when it is asked for; `exclusively` runs each reading. */
  entries(exclusively: SessionCore['exclusively']): StateEntry[] {
    const read = this.ahead(exclusively);
    const buffers = new Map(
      this.buffers.flatMap((buffer) => buffer.tensors.map(({ leaf }) => [leaf, buffer] as const)),
    );
    async function* pieces(parts: readonly GroupTensor[]): AsyncGenerator<Uint8Array> {
      for (const part of parts) {
        const bytes = leafBytes(part);
        for (let start = 0; start < bytes; start += PIECE_BYTES) {
          const length = Math.min(PIECE_BYTES, bytes - start);
          yield await read(buffers.get(part.leaf)!, part.offset + start, length);
        }
      }
    }
    return [...byWhole(this.kept())].map(([name, parts]) => {
      return { name, dtype: parts[0]!.dtype, shape: wholeShape(parts), pieces: () => pieces(parts) };
    });
  }

  /**
   * Reads ranges of buffers. Small tensors lie end to end and come together with the one that was asked for; a file has
   * a parameter and its moments in turn, so that each buffer keeps what it read last.
   */
  private ahead(
    exclusively: SessionCore['exclusively'],
  ): (buffer: GroupBuffer, start: number, length: number) => Promise<Uint8Array> {
    const kept = new Map<string, { readonly from: number; readonly bytes: Uint8Array }>();
    return async ({ label, bytes: all }, start, length) => {
      let held = kept.get(label);
      if (!held || start < held.from || start + length > held.from + held.bytes.byteLength) {
        const size = Math.min(PIECE_BYTES, all - start);
        held = { from: start, bytes: await exclusively(() => this.memory.readBytes(label, size, start)) };
        kept.set(label, held);
      }
      return held.bytes.subarray(start - held.from, start - held.from + length);
    };
  }

  /** Throws `bad-file`, before anything is written, where something is missing, of another shape, or stored otherwise. */
  async import(state: readonly (StateTensor | StateEntry)[]): Promise<void> {
    const leaves = byWhole(this.kept());
    const expected = [...leaves].map(([name, parts]) => ({ name, shape: wholeShape(parts) }));
    checkTensors(state, expected);
    for (const { name, dtype } of state) refuseOtherType(name, dtype, leaves.get(name)![0]!.dtype);
    for (const tensor of state) {
      const parts = leaves.get(tensor.name)!;
      const [{ dtype }] = parts as [GroupTensor];
      if ('pieces' in tensor && tensor.dtype === dtype) await this.write(parts, tensor.pieces());
      else await this.write(parts, oneByOne(stateBytes(await wholeTensor(tensor), dtype)));
    }
  }

  /** Writes the bytes of a tensor into the leaves that it is stored in, in their order. */
  private async write(parts: readonly GroupTensor[], pieces: AsyncIterable<Uint8Array>): Promise<void> {
    let [index, filled] = [0, 0];
    for await (const piece of pieces) {
      for (let taken = 0; taken < piece.byteLength && index < parts.length;) {
        const part = parts[index]!;
        const count = Math.min(piece.byteLength - taken, leafBytes(part) - filled);
        this.memory.write(part.leaf, piece.subarray(taken, taken + count), filled);
        taken += count;
        filled += count;
        if (filled === leafBytes(part)) [index, filled] = [index + 1, 0];
      }
      // What is on its way to the GPU takes memory a second time.
      await this.memory.settle();
    }
  }

  /** The leaves that a state is made of: parameters and moments. */
  private kept(): GroupTensor[] {
    return this.buffers.filter(({ role }) => role !== 'gradients').flatMap(({ tensors }) => tensors);
  }

  /** Reads whole buffers, takes their tensors out of them, and puts the parts of tables together again. */
  private async readParameters(): Promise<StateTensor[]> {
    const read: StateTensor[] = [];
    for (const { label, bytes, tensors, role } of this.buffers) {
      if (role !== 'parameters') continue;
      const values = await this.memory.readBytes(label, bytes);
      for (const { name, dtype, shape, offset } of tensors) {
        const end = offset + leafBytes({ dtype, shape });
        read.push({ name, dtype, shape, bytes: values.slice(offset, end) });
      }
    }
    return joinParts(read);
  }
}

const leafBytes = ({ dtype, shape }: Pick<StateTensor, 'dtype' | 'shape'>) =>
  elementCount(shape) * (dtype === 'u8' ? 1 : 4);

async function* oneByOne(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Codes are no numbers to convert, and numbers no codes. */
function refuseOtherType(name: string, stored: StateTensor['dtype'], dtype: StateTensor['dtype']): void {
  if (stored === dtype || (stored !== 'u8' && dtype === 'f32')) return;
  throw new GraftError('bad-file', `The tensor ${name} is stored as ${stored}, and this run keeps ${dtype}.`);
}

/** Bytes of a tensor of a state for a buffer of a type that it may have. */
function stateBytes(tensor: StateTensor, dtype: StateTensor['dtype']): Uint8Array {
  return tensor.dtype === dtype || tensor.dtype === 'u8'
    ? tensor.bytes
    : converted({ ...tensor, dtype: tensor.dtype }, 'f32');
}
