/**
 * Chooses among the variants of kernels by measuring them, once for each class of shapes: on buffers of its own, before
 * a session makes its buffers, with what is found kept on the device and in the store that it was opened with. Variants
 * that don't write the bits of the others on this device are left out, so that a choice that falls one way today and
 * another tomorrow changes no run. They are compared on the sample of their class, without what a product may add to its
 * result, and where that is large, piece by piece (`BitSample`). A kernel that capabilities alone choose, as those of
 * attention, `octets` and `strips`, has no others here, and is compared with none: on one device it is the same in every run,
 * and only tests say where its bits are those of another kernel.
 */
import { errorCode } from '../../core/errors';
import type { KernelChoice } from '../../core/kernel-choices';
import type { Kernel, Variants } from '../graph/kernel';
import { leafBuffers } from '../compile/layout';
import { agreeing, BitSample } from './same-bits';
import { Memory } from './memory';
import { UNIFORM_ALIGNMENT, type ProgramsPlan } from '../compile/plan';
import { Profiler } from './profile';
import { fillRandomly } from './random-operands';
import type { Runtime } from './runtime';
import type { Operand, Tensor } from '../graph/tensor';

/** Work below this takes about as long as a dispatch does, whatever the kernel. */
const LEAST_FLOPS = 2 ** 21;

/** A variant that takes this much longer than the fastest isn't measured again. */
const HOPELESS = 3;

/** Browsers round their clocks: a single run that seems this short says nothing, in milliseconds. */
const COARSE_MS = 0.2;

/**
 * What a variant must be faster by than one that stands before it, so that noise doesn't decide: a CPU adapter shares its
 * cores with whatever else runs.
 */
const CARD_MARGIN = 1.1;
const SOFTWARE_MARGIN = 1.5;

/** Rounds of measuring, how long a variant runs in each, and when to let it be, in milliseconds. */
const ROUNDS = 5;
const ROUND_MS = 8;
const MOST_REPEATS = 64;
const ENOUGH_MS = 150;

/** Runs of a batch, one after the other in a submit: what their clocks round away, the next ones have. */
const BATCH = 8;

/** Measures what the programs need and the device has no choice for yet. */
export async function tune(runtime: Runtime, { programs }: ProgramsPlan): Promise<void> {
  const classes = new Map<string, Variants>();
  for (const { variants, flops } of programs.flatMap(({ kernels }) => kernels)) {
    if (variants && flops >= LEAST_FLOPS) classes.set(variants.shapeClass, variants);
  }
  if (classes.size === 0) return;
  const { choices } = runtime;
  await choices.load();
  const measured = new Map<string, KernelChoice>();
  for (const [shapeClass, variants] of classes) {
    const samples = variants.sample();
    // What another version or a lesser device has left may name kernels that there are none of here.
    if (samples.has(choices.get(shapeClass) ?? '')) continue;
    const choice = await measure(runtime, samples);
    if (choice) measured.set(shapeClass, choice);
  }
  if (measured.size > 0) await choices.add(measured);
}

/** The fastest of those that write the same bits, or undefined where there is no room to measure. */
export async function measure(
  runtime: Runtime,
  samples: ReadonlyMap<string, Kernel>,
): Promise<KernelChoice | undefined> {
  const plan = samplePlan(samples);
  const outputs = writtenLeaves(samples);
  let memory: Memory;
  try {
    memory = await Memory.allocate(runtime, plan, leafBuffers(plan, []), BitSample.PIECE_BYTES);
  } catch (error) {
    if (errorCode(error) === 'out-of-memory') return undefined;
    throw error;
  }
  const profiler = new Profiler(runtime.device);
  const time = async (name: string, repeats: number) => {
    const batch = repeats < BATCH ? 1 : BATCH;
    const program = await memory.program(programName(name, batch));
    const before = profiler.samples.length;
    for (let i = 0; i < repeats; i += batch) await program.run(undefined, profiler);
    const samples = profiler.samples.slice(before);
    return samples.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / samples.length;
  };
  try {
    const names = outputs.map(({ leaf }) => leaf!.name);
    for (const [name, leaf] of plan.leaves) {
      if (!names.includes(name)) fillRandomly(memory, leaf);
    }
    const written = new Map<string, BitSample>();
    for (const name of samples.keys()) {
      memory.clear(names);
      try {
        await memory.run(programName(name, 1));
      } catch (error) {
        if (isRefused(error)) continue;
        throw error;
      }
      written.set(name, await BitSample.read(memory, outputs));
    }
    const { same, differing } = agreeing(written);
    const margin = runtime.device.info.software ? SOFTWARE_MARGIN : CARD_MARGIN;
    const found = await fastest(same, time, margin);
    return found && { ...found, ...(differing.length > 0 && { differing }) };
  } finally {
    profiler.destroy();
    memory.destroy();
  }
}

/** What the kernels write: the last leaf that all of them bind. */
function writtenLeaves(samples: ReadonlyMap<string, Kernel>): Tensor[] {
  const [kernel] = samples.values();
  return kernel!.bindings.filter(isLeaf).slice(-1);
}

/** Whether the device can't compile a kernel. */
function isRefused(error: unknown): boolean {
  return error instanceof Error && error.name === 'GPUPipelineError';
}

/** Programs of one run and of a batch for each variant, on leaves that they share. */
function samplePlan(samples: ReadonlyMap<string, Kernel>): ProgramsPlan {
  let uniformBytes = 0;
  const programs = [...samples].flatMap(([name, kernel]) =>
    [1, BATCH].map((runs) => {
      const uniformOffset = uniformBytes;
      uniformBytes += runs * UNIFORM_ALIGNMENT;
      return { name: programName(name, runs), kernels: Array<Kernel>(runs).fill(kernel), uniformOffset };
    }),
  );
  const operands = [...samples.values()].flatMap(({ bindings }) => bindings).filter(isLeaf);
  return {
    programs,
    slots: [],
    slotOf: new Map(),
    inPlace: new Set(),
    uniformBytes,
    leaves: new Map(operands.map((operand) => [operand.leaf!.name, operand])),
  };
}

const programName = (variant: string, runs: number) => `${variant}, ${runs} at once`;

function isLeaf(operand: Operand | undefined): operand is Tensor {
  return operand !== undefined && !('tensor' in operand) && operand.leaf !== undefined;
}

/**
 * The name that takes the least time, of several that stand in order of preference, and the milliseconds that each took
 * at best. `time` runs one so many times and returns the milliseconds of a run; a name that can't be compiled is left
 * out. One is chosen before another that stands before it where it is `margin` times faster.
 */
export async function fastest(
  names: readonly string[],
  time: (name: string, repeats: number) => Promise<number>,
  margin = CARD_MARGIN,
): Promise<Pick<Required<KernelChoice>, 'name' | 'milliseconds'> | undefined> {
  const once = new Map<string, number>();
  for (const name of names) {
    try {
      // The first run compiles it, and wakes the device.
      once.set(name, Math.min(await time(name, 1), await time(name, 1)));
    } catch (error) {
      if (!isRefused(error)) throw error;
    }
  }
  const least = Math.min(...once.values());
  const hopeful = [...once.keys()].filter((name) => once.get(name)! <= Math.max(COARSE_MS, HOPELESS * least));
  if (hopeful.length < 2) return hopeful[0] === undefined ? undefined : chosen(hopeful[0], once);

  const best = new Map([...once].map(([name, taken]) => [name, taken < COARSE_MS ? Infinity : taken]));
  const repeats = Math.min(MOST_REPEATS, Math.max(1, Math.round(ROUND_MS / least)));
  for (let round = 0, spent = 0; round < ROUNDS && spent < ENOUGH_MS; round++) {
    for (const name of hopeful) {
      const taken = await time(name, repeats);
      best.set(name, Math.min(taken, best.get(name)!));
      spent += taken * repeats;
    }
  }
  const winner = Math.min(...best.values());
  return chosen(
    hopeful.find((name) => best.get(name)! <= margin * winner)!,
    best,
  );
}

function chosen(name: string, milliseconds: ReadonlyMap<string, number>) {
  return { name, milliseconds: Object.fromEntries([...milliseconds].filter(([, taken]) => Number.isFinite(taken))) };
}
