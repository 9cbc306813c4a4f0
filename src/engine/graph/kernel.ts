/** A kernel: WGSL with its specialisation, the tensors it binds, and its grid. Data only; `program.ts` runs it. */
import type { Operand } from './tensor';

/** What kernels may be chosen by. */
export interface KernelCapabilities {
  readonly subgroups: boolean;
  /** Subgroups of eight lanes, no fewer and no more: what lavapipe has. */
  readonly octets?: boolean;
  readonly f16: boolean;
  /** The adapter runs on a CPU, where workgroup memory and barriers are slow. */
  readonly software: boolean;
  /** How fast the device is, where that was measured: a slow one takes work in smaller dispatches. */
  readonly rates?: Rates;
}

/** Flops a second, by kind of work. */
export interface Rates {
  readonly products: number;
  readonly attention: number;
}

/** WGSL without a device's help: the plain path that every adapter runs. */
export const PLAIN: KernelCapabilities = { subgroups: false, f16: false, software: false };

/** A WGSL source file; `modules` stand before it in the compiled text (types, reductions). */
export interface Shader {
  readonly name: string;
  readonly code: string;
}

export interface Kernel {
  readonly shader: Shader;
  /** Prelude modules, in order: element types, reductions. */
  readonly modules?: readonly Shader[];
  /** `const NAME: u32 = value;` lines of the prelude: sizes of register and workgroup arrays. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** `override` constants. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Uniform words at binding 0, in the order of the shader's `Params`. */
  readonly params: readonly Param[];
  /** Storage buffers at bindings 1, 2, …; undefined where this specialisation leaves a binding out. */
  readonly bindings: readonly (Operand | undefined)[];
  readonly workgroups: readonly [number, number, number];
  /** Where rows of the batch may be missing in a run: those that the kernel works on. Missing ones cost it nothing. */
  readonly rows?: KernelRows | undefined;
  /** Multiply-adds times two; what the submit budget weighs a kernel by. */
  readonly flops: number;
  /** Where others would do as well: what `tuner.ts` chooses from. */
  readonly variants?: Variants;
}

/** Rows `first` to `first + count` of those that a run counts. */
export interface KernelRows {
  readonly first: number;
  readonly count: number;
  /** The axis of the workgroups that they lie along, in order; absent where all workgroups work on all of them. */
  readonly axis?: 0 | 1 | undefined;
  /** Rows of a tile, where the axis counts tiles of several rows and columns one after the other; else 1. */
  readonly tileRows?: number | undefined;
}

/**
 * Kernels for one piece of work, by name: they read and write the same bindings, and should write the same bits, so that
 * which one runs is a matter of time alone. `tuner.ts` leaves out those that don't on a device.
 */
export interface Variants {
  /** What is measured once: the op, the types, and the extents coarsely. */
  readonly shapeClass: string;
  /** The one to take where nothing is measured comes first. */
  readonly kernels: ReadonlyMap<string, Kernel>;
  /** The same kernels for a piece of work of the class that is bounded in time and memory. */
  sample(): ReadonlyMap<string, Kernel>;
}

export type Param = { readonly u32: number } | { readonly f32: number };

export const u32 = (value: number): Param => ({ u32: value });
export const f32 = (value: number): Param => ({ f32: value });

/** WebGPU's default limit on workgroups in one dimension. */
const MAX_WORKGROUPS = 65535;

/** A grid of `count` workgroups, folded into two dimensions where one is too short. Shaders read `group_index`. */
export function grid(count: number): [number, number, number] {
  if (count <= MAX_WORKGROUPS) return [count, 1, 1];
  const rows = Math.ceil(count / MAX_WORKGROUPS);
  return [Math.ceil(count / rows), rows, 1];
}

/** The axis of a grid from `grid` that rows lie along, where items are ordered by rows. */
export function rowAxisOf([, y]: readonly [number, number, number]): 0 | 1 {
  return y > 1 ? 1 : 0;
}

/** A kernel's workgroups in a run of so many rows; undefined where it has nothing to do. */
export function workgroupsFor(
  { rows, workgroups }: Pick<Kernel, 'rows' | 'workgroups'>,
  count: number,
): Kernel['workgroups'] | undefined {
  if (!rows) return workgroups;
  const { tileRows = 1 } = rows;
  const present = Math.min(rows.count, Math.ceil((count - rows.first) / tileRows) * tileRows);
  if (present <= 0) return undefined;
  const [x, y, z] = workgroups;
  const needed = (all: number) => Math.ceil((all * present) / rows.count);
  if (rows.axis === 0) return [needed(x), y, z];
  return rows.axis === 1 ? [x, needed(y), z] : workgroups;
}

/** A grid of enough workgroups of `size` for `n` items, one item a thread. */
export function gridFor(n: number, size = 64): [number, number, number] {
  return grid(Math.ceil(n / size));
}

/** Vectors of four that `n` elements fill, the last perhaps in part: buffers are whole vectors (`byteSize`). */
export function vectors(n: number): number {
  return Math.ceil(n / 4);
}

/** The whole WGSL text of a kernel: directives, constants, modules, file. */
export function kernelSource(kernel: Pick<Kernel, 'shader' | 'modules' | 'sizes'>): string {
  const modules = kernel.modules ?? [];
  const enables = new Set<string>();
  const bodies = [...modules, kernel.shader].map(({ code }) =>
    code.replace(/^enable [^;]+;\n/gm, (line) => {
      enables.add(line);
      return '';
    }),
  );
  const sizes = Object.entries(kernel.sizes ?? {}).map(([name, value]) => `const ${name}: u32 = ${value}u;\n`);
  return [...enables, ...sizes, ...bodies].join('');
}

/** What makes two kernels share a pipeline. */
export function pipelineKey(kernel: Kernel): string {
  const modules = (kernel.modules ?? []).map((module) => module.name).join('+');
  return [kernel.shader.name, modules, JSON.stringify(kernel.sizes ?? {}), JSON.stringify(kernel.constants ?? {})].join(
    '|',
  );
}
