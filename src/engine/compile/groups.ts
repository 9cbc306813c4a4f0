/**
 * Flat groups: parameters that the optimiser treats alike, end to end in one buffer, and so their gradients and moments,
 * so that an update is one kernel a group. Also the names under which their tensors leave the session.
 */
import { elementCount } from '../../core/dtypes';
import { DYNAMIC_BLOCK } from '../../core/dynamic-map';
import type { ParameterSpec } from '../../core/spec';
import type { StateTensor } from '../../core/weights';
import type { LeafBuffer } from './layout';
import { BINDING_BYTES } from './parts';
import { STORAGE_ALIGNMENT } from '../graph/tensor';

/** Smaller tensors keep their moments in f32, as in bitsandbytes: they save little and are the most sensitive. */
const LEAST_8BIT_ELEMENTS = 4096;

export interface FlatEntry extends ParameterSpec {
  /** Bytes from the start of the group's parameters. */
  readonly offset: number;
}

/** A parameter to be laid out, and what the optimiser has to know of it. */
export interface FlatParameter extends ParameterSpec {
  readonly kind: 'adapter' | 'weights';
  /** Whether weight decay applies. */
  readonly decays: boolean;
}

export interface FlatGroup {
  readonly name: string;
  readonly kind: FlatParameter['kind'];
  readonly decay: boolean;
  /** In 8 bits every tensor starts a block of its own. */
  readonly moments: '32bit' | '8bit';
  readonly entries: readonly FlatEntry[];
  /** Of the parameters, which are f32. */
  readonly bytes: number;
}

/**
 * Lays parameters end to end, an adapter's apart from a model's, those with weight decay from those without, and 8-bit
 * moments from f32 ones. A
 * group stays within `groupBytes`, so that the optimiser can bind all of it.
 */
export function flatGroups(
  parameters: readonly FlatParameter[],
  moments: FlatGroup['moments'],
  groupBytes = BINDING_BYTES,
): FlatGroup[] {
  const groups: (Pick<FlatGroup, 'kind' | 'decay' | 'moments'> & { entries: FlatEntry[]; bytes: number })[] = [];
  for (const parameter of parameters) {
    const elements = elementCount(parameter.shape);
    const alike = {
      kind: parameter.kind,
      decay: parameter.decays,
      moments: elements < LEAST_8BIT_ELEMENTS ? '32bit' : moments,
    } as const;
    const alignment = alike.moments === '8bit' ? 4 * DYNAMIC_BLOCK : STORAGE_ALIGNMENT;
    const size = Math.ceil((4 * elements) / alignment) * alignment;
    let group = groups.findLast(
      ({ kind, decay, moments }) => kind === alike.kind && decay === alike.decay && moments === alike.moments,
    );
    if (!group || group.bytes + size > groupBytes) {
      group = { ...alike, entries: [], bytes: 0 };
      groups.push(group);
    }
    const { name, shape } = parameter;
    group.entries.push({ name, shape, offset: group.bytes });
    group.bytes += size;
  }
  return groups.map((group, i) => ({ ...group, name: `group${i}` }));
}

/** Names of a group's buffers, which hold all its entries. */
export const groupLeaf = {
  parameters: (group: FlatGroup) => `${group.name}:parameters`,
  gradients: (group: FlatGroup) => `${group.name}:gradients`,
  reference: (group: FlatGroup) => `${group.name}:reference`,
  expAvg: (group: FlatGroup) => `${group.name}:exp_avg`,
  expAvgSq: (group: FlatGroup) => `${group.name}:exp_avg_sq`,
  /** Codes of all first moments, then of all second ones; likewise the scales of their blocks. */
  codes: (group: FlatGroup) => `${group.name}:codes`,
  absmax: (group: FlatGroup) => `${group.name}:absmax`,
};

export const gradientLeaf = (name: string) => `grad:${name}`;

/** A frozen copy of a trained parameter. */
export const referenceLeaf = (name: string) => `${name}.reference`;

/** A tensor of the training state as a range of one of its group's buffers. */
export interface GroupTensor extends Pick<StateTensor, 'name' | 'dtype' | 'shape'> {
  readonly leaf: string;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
}

export interface GroupBuffer extends LeafBuffer {
  readonly role: 'parameters' | 'gradients' | 'moments' | 'reference';
  readonly tensors: readonly GroupTensor[];
}

const EXP_AVG = '.exp_avg';
const EXP_AVG_SQ = '.exp_avg_sq';
const ABSMAX = '.absmax';

/** Every buffer of a group. Moments are named after their parameter: `.exp_avg`, `.exp_avg_sq`, and `.absmax` of either. */
export function groupBuffers(group: FlatGroup): GroupBuffer[] {
  const { entries, bytes } = group;
  const buffer = (
    label: string,
    role: GroupBuffer['role'],
    kind: LeafBuffer['kind'],
    size: number,
    tensors: GroupTensor[],
  ): GroupBuffer => {
    const ranges = new Map([[label, 0], ...tensors.map(({ leaf, offset }) => [leaf, offset] as const)]);
    return { label, role, kind, bytes: size, ranges, tensors };
  };
  const plain = (suffix: string) =>
    entries.map(({ name, shape, offset }): GroupTensor => {
      return { name: name + suffix, leaf: name + suffix, dtype: 'f32', shape, offset };
    });
  const trained = [
    buffer(groupLeaf.parameters(group), 'parameters', group.kind, bytes, plain('')),
    buffer(
      groupLeaf.gradients(group),
      'gradients',
      'gradients',
      bytes,
      plain('').map((tensor) => ({ ...tensor, leaf: gradientLeaf(tensor.name) })),
    ),
  ];
  if (group.moments === '32bit') {
    return [
      ...trained,
      buffer(groupLeaf.expAvg(group), 'moments', 'optimizer', bytes, plain(EXP_AVG)),
      buffer(groupLeaf.expAvgSq(group), 'moments', 'optimizer', bytes, plain(EXP_AVG_SQ)),
    ];
  }
  const codeBytes = bytes / 4;
  const scaleBytes = bytes / DYNAMIC_BLOCK;
  const both = (tensorsOf: (suffix: string, half: number) => GroupTensor[]) => [
    ...tensorsOf(EXP_AVG, 0),
    ...tensorsOf(EXP_AVG_SQ, 1),
  ];
  const codes = both((suffix, half) =>
    entries.map(({ name, shape, offset }) => {
      const full = name + suffix;
      return { name: full, leaf: full, dtype: 'u8', shape, offset: half * codeBytes + offset / 4 };
    }),
  );
  const scales = both((suffix, half) =>
    entries.map(({ name, shape, offset }) => {
      const full = name + suffix + ABSMAX;
      const blocks = Math.ceil(elementCount(shape) / DYNAMIC_BLOCK);
      return {
        name: full,
        leaf: full,
        dtype: 'f32',
        shape: [blocks],
        offset: half * scaleBytes + offset / DYNAMIC_BLOCK,
      };
    }),
  );
  return [
    ...trained,
    buffer(groupLeaf.codes(group), 'moments', 'optimizer', 2 * codeBytes, codes),
    buffer(groupLeaf.absmax(group), 'moments', 'optimizer', 2 * scaleBytes, scales),
  ];
}

/** The buffer of a frozen copy of a group's parameters. */
export function referenceBuffer(group: FlatGroup): GroupBuffer {
  const label = groupLeaf.reference(group);
  const tensors = group.entries.map(({ name, shape, offset }): GroupTensor => {
    return { name: referenceLeaf(name), leaf: referenceLeaf(name), dtype: 'f32', shape, offset };
  });
  const ranges = new Map([[label, 0], ...tensors.map(({ leaf, offset }) => [leaf, offset] as const)]);
  return { label, role: 'reference', kind: group.kind, bytes: group.bytes, ranges, tensors };
}
