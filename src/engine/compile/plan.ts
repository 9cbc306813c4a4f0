/**
 * The memory plan. Shapes are static, so every value's lifetime is known before anything runs: values that are never
 * alive together share a slot, and a slot is one whole buffer (WebGPU refuses one buffer bound read-only and writable
 * in the same dispatch, so slots are not ranges of an arena). Several programs that never run at once share slots.
 *
 * Assignment is greedy by size (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference",
 * arXiv:2001.03288): largest value first, into the smallest slot whose occupants it never meets.
 */
import type { Graph, Node, Tensor } from '../graph/graph';
import type { Kernel, KernelCapabilities } from '../graph/kernel';
import { byteSize } from '../graph/tensor';
import type { MemoryBytes, MemoryPlan } from '../types';

/** Spacing of uniform blocks: WebGPU's default `minUniformBufferOffsetAlignment`. */
export const UNIFORM_ALIGNMENT = 256;

/** A graph lowered to kernels, with a slot for every value that is no leaf. */
export interface PlannedProgram {
  readonly name: string;
  readonly kernels: readonly Kernel[];
  /** Where the program's uniform blocks start in the buffer that all programs share. */
  readonly uniformOffset: number;
}

export interface Slot {
  readonly bytes: number;
  readonly kind: 'activations' | 'workspace';
}

export interface ProgramsPlan {
  readonly programs: readonly PlannedProgram[];
  readonly slots: readonly Slot[];
  readonly slotOf: ReadonlyMap<Tensor, number>;
  /** Nodes whose outputs take the place of inputs. */
  readonly inPlace: ReadonlySet<Node>;
  readonly uniformBytes: number;
  /** Every leaf of every program, once, in its largest shape. */
  readonly leaves: ReadonlyMap<string, Tensor>;
}

export interface Lifetime {
  /** More than one where one takes the place of another. */
  readonly tensors: Tensor[];
  readonly bytes: number;
  readonly kind: Slot['kind'];
  readonly start: number;
  end: number;
}

interface OpenSlot extends Slot {
  kind: Slot['kind'];
  readonly busy: Timeline;
}

/** The times at which a slot holds something, a bit each: plans have tens of thousands of values. */
class Timeline {
  private readonly words: Uint32Array;

  constructor(length: number) {
    this.words = new Uint32Array(Math.ceil(length / 32));
  }

  isFree(start: number, end: number): boolean {
    for (let word = start >> 5; word <= end >> 5; word++) {
      if (this.words[word]! & Timeline.mask(word, start, end)) return false;
    }
    return true;
  }

  occupy(start: number, end: number): void {
    for (let word = start >> 5; word <= end >> 5; word++) this.words[word]! |= Timeline.mask(word, start, end);
  }

  /** Bits of the times from `start` to `end` that fall into a word. */
  private static mask(word: number, start: number, end: number): number {
    const fromStart = word === start >> 5 ? -1 << (start & 31) : -1;
    const toEnd = word === end >> 5 ? -1 >>> (31 - (end & 31)) : -1;
    return fromStart & toEnd;
  }
}

/** Lowers and places programs that share one pool of slots. `graphs` maps program names to finished graphs. */
export function planPrograms(graphs: ReadonlyMap<string, Graph>, capabilities: KernelCapabilities): ProgramsPlan {
  const leaves = new Map<string, Tensor>();
  const lifetimes: Lifetime[] = [];
  const inPlace = new Set<Node>();
  const sequences: { name: string; nodes: Node[]; origin: number }[] = [];
  let time = 0;
  for (const [name, graph] of graphs) {
    const nodes = graph.liveNodes();
    const placed = programLifetimes(graph, nodes, time);
    for (const lifetime of placed.lifetimes) lifetimes.push(lifetime);
    placed.inPlace.forEach((node) => inPlace.add(node));
    sequences.push({ name, nodes, origin: time });
    time += nodes.length + 1;
    for (const leaf of nodes.flatMap((node) => node.inputs.filter((input) => input.leaf))) {
      // Programs of several lengths share an input leaf: its buffer is as large as the largest needs.
      const known = leaves.get(leaf.leaf!.name);
      if (!known || byteSize(known) < byteSize(leaf)) leaves.set(leaf.leaf!.name, leaf);
    }
  }
  const { slots, slotOf } = assignSlots(lifetimes, time);
  let uniformBytes = 0;
  const programs = sequences.map(({ name, nodes, origin }): PlannedProgram => {
    const kernels = nodes.flatMap((node, i) =>
      node.op.kernels(node, capabilities, inPlace.has(node), roomFor(node, origin + i, slots, slotOf)),
    );
    const uniformOffset = uniformBytes;
    uniformBytes += kernels.length * UNIFORM_ALIGNMENT;
    return { name, kernels, uniformOffset };
  });
  return {
    programs,
    slots: slots.map(({ bytes, kind }) => ({ bytes, kind })),
    slotOf,
    inPlace,
    uniformBytes,
    leaves,
  };
}

/** Places the scratch that a node takes in the slots that are free at its time; see `Op.room`. */
function roomFor(node: Node, time: number, slots: readonly OpenSlot[], slotOf: Map<Tensor, number>): Tensor[] {
  if (!node.op.room) return [];
  const own = new Set(node.outputs.slice(node.op.roomFrom).map((output) => slotOf.get(output)));
  const free = [...slots.keys()]
    .filter((slot) => own.has(slot) || slots[slot]!.busy.isFree(time, time))
    .sort((a, b) => slots[b]!.bytes - slots[a]!.bytes);
  const types = node.op.room(
    node,
    free.map((slot) => slots[slot]!.bytes),
  );
  return types.flatMap((type, i) => {
    if (!type) return [];
    if (byteSize(type) > slots[free[i]!]!.bytes) throw new Error(`${node.op.name} takes more room than there is`);
    const tensor: Tensor = { ...type, id: -1 };
    slotOf.set(tensor, free[i]!);
    return [tensor];
  });
}

/** When each value of a program is there. Values that take over an input's place share its lifetime. */
export function programLifetimes(
  graph: Graph,
  nodes: readonly Node[],
  origin: number,
): { lifetimes: Lifetime[]; inPlace: Set<Node> } {
  const end = origin + nodes.length;
  const lastUse = new Map<Tensor, number>();
  nodes.forEach((node, i) => [...node.outputs, ...node.inputs].forEach((tensor) => lastUse.set(tensor, origin + i)));
  graph.results.forEach((tensor) => lastUse.set(tensor, end));

  const lifetimes = new Set<Lifetime>();
  const alive = new Map<Tensor, Lifetime>();
  const inPlace = new Set<Node>();
  nodes.forEach((node, i) => {
    const time = origin + i;
    /** The input's lifetime, where the output may take its place. */
    const successor = (output: Tensor, input: Tensor | undefined) =>
      input &&
      lastUse.get(input) === time &&
      node.inputs.indexOf(input) === node.inputs.lastIndexOf(input) &&
      byteSize(input) === byteSize(output)
        ? alive.get(input)
        : undefined;
    const taken = node.op.inPlace?.map((from, k) => successor(node.outputs[k]!, node.inputs[from]));
    if (taken?.every((lifetime) => lifetime !== undefined)) inPlace.add(node);

    node.outputs.forEach((tensor, k) => {
      const taking = inPlace.has(node) ? taken?.[k] : undefined;
      const scratch = k >= (node.op.scratchFrom ?? Infinity);
      const kind = scratch ? 'workspace' : 'activations';
      const lifetime = taking ?? { tensors: [], bytes: byteSize(tensor), kind, start: time, end: time };
      lifetime.tensors.push(tensor);
      lifetime.end = lastUse.get(tensor)!;
      alive.set(tensor, lifetime);
      lifetimes.add(lifetime);
    });
  });
  return { lifetimes: [...lifetimes], inPlace };
}

/** Bytes of the slots of a program that has these nodes, alone. */
export function slotBytes(graph: Graph, nodes: readonly Node[]): number {
  const { slots } = assignSlots(programLifetimes(graph, nodes, 0).lifetimes, nodes.length + 1);
  return slots.reduce((sum, { bytes }) => sum + bytes, 0);
}

function assignSlots(
  lifetimes: readonly Lifetime[],
  length: number,
): { slots: OpenSlot[]; slotOf: Map<Tensor, number> } {
  const slots: OpenSlot[] = [];
  const slotOf = new Map<Tensor, number>();
  // A stable order makes the plan, and with it every byte of a run, reproducible.
  const order = lifetimes.toSorted((a, b) => b.bytes - a.bytes || a.start - b.start);
  for (const value of order) {
    // Slots are opened from the largest on, so the last that is free is the smallest.
    let best = slots.findLastIndex(({ busy }) => busy.isFree(value.start, value.end));
    if (best < 0) best = slots.push({ bytes: value.bytes, kind: 'workspace', busy: new Timeline(length) }) - 1;
    const slot = slots[best]!;
    slot.busy.occupy(value.start, value.end);
    if (value.kind === 'activations') slot.kind = 'activations';
    for (const tensor of value.tensors) slotOf.set(tensor, best);
  }
  return { slots, slotOf };
}

export function emptyBytes(): MemoryBytes {
  return { weights: 0, adapter: 0, gradients: 0, optimizer: 0, activations: 0, workspace: 0 };
}

export function memoryPlan(bytes: MemoryBytes): MemoryPlan {
  return { bytes, totalBytes: Object.values<number>({ ...bytes }).reduce((sum, n) => sum + n, 0) };
}

/** Bytes of slots and uniforms: all that a plan's programs need beside their leaves. */
export function programBytes(plan: ProgramsPlan): MemoryBytes {
  const bytes = emptyBytes();
  for (const slot of plan.slots) bytes[slot.kind] += slot.bytes;
  bytes.workspace += plan.uniformBytes;
  return bytes;
}

export function addBytes(a: MemoryBytes, b: MemoryBytes): MemoryBytes {
  const sum = { ...a };
  for (const kind of Object.keys(b) as (keyof MemoryBytes)[]) sum[kind] += b[kind];
  return sum;
}
