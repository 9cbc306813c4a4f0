/** Runs one graph on a device as sessions do: planned, allocated, built into a program, read back. */
import { fromFloat32, type DType } from '../../src/core/dtypes';
import { Device } from '../../src/engine/runtime/device';
import { byteSize, Graph, type Tensor } from '../../src/engine/graph/graph';
import type { Kernel, KernelCapabilities } from '../../src/engine/graph/kernel';
import { layoutBytes, leafBuffers } from '../../src/engine/compile/layout';
import { Memory } from '../../src/engine/runtime/memory';
import { memoryPlan, planPrograms, type ProgramsPlan } from '../../src/engine/compile/plan';
import type { SubmitPacer } from '../../src/engine/runtime/pacer';
import { KernelChoices } from '../../src/engine/runtime/choices';
import { Runtime } from '../../src/engine/runtime/runtime';
import { isQuantized } from '../../src/engine/graph/tensor';
import { tune } from '../../src/engine/runtime/tuner';
import type { MemoryPlan } from '../../src/engine/types';

/** A leaf of a test graph with its values, which `dtype` must represent exactly. */
export interface LeafInput {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly values: ArrayLike<number>;
  /** What a quantised leaf holds; `values` are then what the words stand for. */
  readonly words?: Uint32Array;
  readonly trainable?: boolean;
}

/** A device with what its sessions share. */
export interface Runner {
  readonly device: Device;
  readonly capabilities: KernelCapabilities;
  readonly runtime: Runtime;
  readonly variant?: string | undefined;
}

export interface RunnerOptions {
  readonly withoutFeatures?: readonly string[];
  /** Choose kernels as for a software adapter, or as for a card, whatever the device is. */
  readonly software?: boolean;
  readonly pacer?: SubmitPacer;
  /** Run the variant of this name wherever there is one, and what comes first elsewhere. */
  readonly variant?: string;
}

export async function openRunner(gpu: GPU, options: RunnerOptions = {}): Promise<Runner> {
  const device = await Device.open(gpu, { withoutFeatures: options.withoutFeatures ?? [] });
  const capabilities = { ...device.capabilities, software: options.software ?? device.capabilities.software };
  const runtime = new Runtime(device, new KernelChoices(device.identity), options.pacer);
  return { device, capabilities, runtime, variant: options.variant };
}

/** A kernel's variant of that name, or the kernel itself, in either case without a choice left. */
function variantOf(kernel: Kernel, name: string | undefined): Kernel {
  const { variants, ...plain } = kernel;
  return variants?.kernels.get(name ?? '') ?? plain;
}

/** Declares every input as a leaf of the graph. */
export function declareLeaves<K extends string>(
  graph: Graph,
  inputs: Readonly<Record<K, LeafInput>>,
): Record<K, Tensor> {
  const leaves = Object.entries<LeafInput>(inputs).map(([name, { shape, dtype, trainable }]) => [
    name,
    graph.leaf(name, { shape, dtype }, trainable ? 'adapter' : 'workspace', trainable),
  ]);
  return Object.fromEntries(leaves) as Record<K, Tensor>;
}

function littleEndian({ values, dtype, words }: LeafInput): Uint8Array | Uint32Array | Int32Array {
  if (isQuantized(dtype)) return words!;
  if (dtype === 'u32') return Uint32Array.from(values);
  if (dtype === 'i32') return Int32Array.from(values);
  return fromFloat32(Float32Array.from(values), dtype);
}

/** A graph placed on a device, its leaves written. Destroy `memory` when done. */
export interface PlacedGraph {
  readonly memory: Memory;
  readonly programs: ProgramsPlan;
  /** Bytes of all that was allocated, by the layout. */
  readonly plan: MemoryPlan;
}

function chosen(plan: ProgramsPlan, variant: string | undefined): ProgramsPlan {
  if (variant === undefined) return plan;
  const programs = plan.programs.map((program) => ({
    ...program,
    kernels: program.kernels.map((kernel) => variantOf(kernel, variant)),
  }));
  return { ...plan, programs };
}

/** Plans and allocates a graph under the name `main`; every tensor of `outputs` stays readable after it ran. */
export async function placeGraph(
  runner: Runner,
  graph: Graph,
  inputs: Readonly<Record<string, LeafInput>>,
  outputs: readonly Tensor[],
): Promise<PlacedGraph> {
  outputs.forEach((output) => graph.keep(output));
  const programs = chosen(planPrograms(new Map([['main', graph]]), runner.capabilities), runner.variant);
  const buffers = leafBuffers(programs, []);
  const readback = Math.max(
    4,
    outputs.reduce((sum, output) => sum + byteSize(output), 0),
  );
  await tune(runner.runtime, programs);
  const memory = await Memory.allocate(runner.runtime, programs, buffers, readback);
  for (const [name, input] of Object.entries(inputs)) {
    if (programs.leaves.has(name)) memory.write(name, littleEndian(input));
  }
  return { memory, programs, plan: memoryPlan(layoutBytes(programs, buffers, readback)) };
}

/**
 * Builds a graph on leaves that hold `inputs`, runs it once and returns the outputs by name. An output may be a leaf
 * that the graph writes. WebGPU validation errors fail the run.
 */
export async function runGraph<K extends string, O extends string>(
  runner: Runner,
  inputs: Readonly<Record<K, LeafInput>>,
  build: (graph: Graph, leaves: Record<K, Tensor>) => Readonly<Record<O, Tensor>>,
): Promise<Record<O, Float32Array>> {
  const graph = new Graph();
  const outputs = Object.entries<Tensor>(build(graph, declareLeaves(graph, inputs)));
  const { gpu } = runner.device;
  gpu.pushErrorScope('validation');
  const placed = await placeGraph(
    runner,
    graph,
    inputs,
    outputs.map(([, tensor]) => tensor),
  );
  try {
    // A leaf that nothing uses has no buffer: it is what was put in, as where the gradient of a sum is its seed.
    const used = outputs.filter(([, { leaf }]) => !leaf || placed.programs.leaves.has(leaf.name));
    const values = await placed.memory.runAndRead(
      'main',
      used.map(([, tensor]) => tensor),
    );
    const error = await gpu.popErrorScope();
    if (error) throw new Error(error.message);
    const read = new Map(used.map(([name], i) => [name, values[i]!]));
    return Object.fromEntries(
      outputs.map(([name, { leaf }]) => [name, read.get(name) ?? Float32Array.from(inputs[leaf!.name as K].values)]),
    ) as Record<O, Float32Array>;
  } finally {
    placed.memory.destroy();
  }
}
