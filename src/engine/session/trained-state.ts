/** What a run trains, as it leaves the session and comes back: parameters, gradients, and the moments beside them. */
import { elementCount } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import type { ParameterSpec } from '../../core/spec';
import type { StateTensor, WeightTensor } from '../../core/weights';
import type { GroupBuffer } from '../compile/groups';
import { byWhole, joinParts, splitParts, wholeShape } from '../compile/parts';
import type { Memory } from '../runtime/memory';
import { checkTensors, converted } from '../runtime/upload';
import type { TrainState } from '../types';

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
    const tensors = (await this.read('parameters')).map((tensor) => ({ ...tensor, dtype: 'f32' as const }));
    return tensors.sort((a, b) => order.get(a.name)! - order.get(b.name)!);
  }

  async export(): Promise<TrainState> {
    return [...(await this.parameters()), ...(await this.read('moments')), ...(await this.read('reference'))];
  }

  /** Throws `bad-file` where something is missing, has another shape, or is stored in another way. */
  import(state: TrainState): void {
    const kept = this.buffers.filter(({ role }) => role !== 'gradients').flatMap(({ tensors }) => tensors);
    const leaves = byWhole(kept);
    const expected = [...leaves].map(([name, parts]) => ({ name, shape: wholeShape(parts) }));
    checkTensors(state, expected);
    const dtypes = new Map(kept.map(({ name, dtype }) => [name, dtype]));
    for (const part of state.flatMap((tensor) => splitParts(tensor, leaves.get(tensor.name)!))) {
      this.memory.write(part.name, stateBytes(part, dtypes.get(part.name)!));
    }
  }

  /** Reads whole buffers, takes their tensors out of them, and puts the parts of tables together again. */
  private async read(role: GroupBuffer['role']): Promise<StateTensor[]> {
    const read: StateTensor[] = [];
    for (const { label, bytes, tensors, role: found } of this.buffers) {
      if (found !== role) continue;
      const values = await this.memory.readBytes(label, bytes);
      for (const { name, dtype, shape, offset } of tensors) {
        const end = offset + elementCount(shape) * (dtype === 'u8' ? 1 : 4);
        read.push({ name, dtype, shape, bytes: values.slice(offset, end) });
      }
    }
    return joinParts(read);
  }
}

/** Bytes of a tensor of a state for a buffer of that type. Codes are no numbers to convert. */
function stateBytes(tensor: StateTensor, dtype: StateTensor['dtype']): Uint8Array {
  if (tensor.dtype === dtype) return tensor.bytes;
  if (tensor.dtype !== 'u8' && dtype === 'f32') return converted({ ...tensor, dtype: tensor.dtype }, 'f32');
  throw new GraftError(
    'bad-file',
    `The tensor ${tensor.name} is stored as ${tensor.dtype}, and this run keeps ${dtype}.`,
  );
}
