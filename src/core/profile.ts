/** Where the GPU's time goes: what a profiled step reports. Plain data that crosses the worker boundary. */

/** All calls of one kernel on one set of shapes. */
export interface KernelTime {
  /** The shader's name. */
  readonly kernel: string;
  /** What it is specialised by: modules and constants. */
  readonly variant: string;
  /** Shapes of the tensors it binds, each once. */
  readonly shapes: string;
  readonly calls: number;
  readonly milliseconds: number;
  /** Of the total, 0 to 1. */
  readonly share: number;
  readonly flops: number;
  /** Bytes of the tensors it binds, read or written once each. */
  readonly bytes: number;
}

export interface Profile {
  /** `timestamps`: the GPU's own clock. `submits`: without one, each kernel was submitted alone and timed from outside. */
  readonly clock: 'timestamps' | 'submits';
  /** What the clock's readings are rounded to, in milliseconds. */
  readonly resolution: number;
  /** Sum over the kernels. */
  readonly milliseconds: number;
  /** Slowest first. */
  readonly kernels: readonly KernelTime[];
  /** Kernels that never run because they wrote other bits on this device, by class of shapes. Absent where there are none. */
  readonly differing?: readonly string[];
}

/** The same with the variants and shapes of a kernel taken together. */
export function byKernel(profile: Profile): KernelTime[] {
  const merged = new Map<string, KernelTime>();
  for (const time of profile.kernels) {
    const sum = merged.get(time.kernel);
    merged.set(time.kernel, {
      kernel: time.kernel,
      variant: '',
      shapes: '',
      calls: time.calls + (sum?.calls ?? 0),
      milliseconds: time.milliseconds + (sum?.milliseconds ?? 0),
      share: time.share + (sum?.share ?? 0),
      flops: time.flops + (sum?.flops ?? 0),
      bytes: time.bytes + (sum?.bytes ?? 0),
    });
  }
  return [...merged.values()].sort((a, b) => b.milliseconds - a.milliseconds);
}

/** How the numbers were taken, in words. */
export function clockNote({ clock, resolution }: Profile): string {
  if (clock === 'submits')
    return 'This GPU has no clock of its own to read: each kernel was run alone and timed from outside.';
  return resolution < COARSE_MS
    ? 'Timed by the GPU’s own clock.'
    : `Timed by the GPU’s own clock, which this browser rounds to ${resolution.toFixed(2)} ms: small kernels are right on average only.`;
}

/** From here on rounding shows in short kernels. */
const COARSE_MS = 0.01;
