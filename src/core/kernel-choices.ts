/**
 * Which of several kernels an adapter runs fastest, as measured on it: names by shape class. It is kept from one sitting
 * to the next to measure once only; what is computed doesn't depend on it.
 */
export interface KernelChoiceStore {
  /** What was kept for that adapter, whatever it is, or undefined where nothing was, or what was is damaged. */
  read(adapter: string): Promise<unknown>;
  write(adapter: string, choices: Readonly<Record<string, string>>): Promise<void>;
}
