/** Which row of which document the rows of an activation are: what rotation and attention go by. */
import type { Tensor } from '../graph/graph';
import type { Kernel } from '../graph/kernel';
import { shader } from '../graph/shaders';

const WHOLE = shader('documents/whole');
const PACKED = shader('documents/packed');

/** The binding at which documents/packed.wgsl expects `first`. */
const FIRST_BINDING = 8;

export interface Positions {
  /** Position of the first row of each sequence, [B] (u32): 0 in training, the tokens in the cache when decoding. */
  readonly start: Tensor;
  /**
   * For each row the index within its sequence of the first row of its document, [B·T] (u32), never falling along a
   * sequence. Absent where every sequence is one document.
   */
  readonly first?: Tensor | undefined;
}

/** The inputs that an op takes for its positions; a list to destructure as [start, first]. */
export function positionInputs({ start, first }: Positions): Tensor[] {
  return first ? [start, first] : [start];
}

/** The part of a kernel that tells documents apart: `first_row(row)`, and its binding behind the kernel's own. */
export function documents(
  first: Tensor | undefined,
  bindings: Kernel['bindings'],
): Required<Pick<Kernel, 'modules' | 'bindings'>> {
  if (!first) return { modules: [WHOLE], bindings };
  const between = new Array<undefined>(FIRST_BINDING - 1 - bindings.length).fill(undefined);
  return { modules: [PACKED], bindings: [...bindings, ...between, first] };
}
