/**
 * Which of several kernels an adapter runs fastest, as measured on it, by shape class. It is kept from one sitting to the
 * next to measure once only; what is computed doesn't depend on it, since kernels that write other bits are left out.
 */
export interface KernelChoice {
  /** The kernel that runs. */
  readonly name: string;
  /** Milliseconds of a run on the class's sample, by kernel: each that was measured, in order of preference. */
  readonly milliseconds?: Readonly<Record<string, number>>;
  /** Kernels that wrote other bits than the chosen one on this adapter, and never run. */
  readonly differing?: readonly string[];
}

export interface KernelChoiceStore {
  /** What was kept for that adapter, whatever it is, or undefined where nothing was, or what was is damaged. */
  read(adapter: string): Promise<unknown>;
  write(adapter: string, choices: Readonly<Record<string, KernelChoice>>): Promise<void>;
}
