/** Choices between kernels, kept with a hash over themselves: what is damaged is measured again, and replaced. */
import * as v from 'valibot';
import type { KernelChoiceStore } from '../core/kernel-choices';
import { seal, unseal } from './sealed';

const Choices = v.record(
  v.string(),
  v.object({
    name: v.string(),
    milliseconds: v.optional(v.record(v.string(), v.number())),
    differing: v.optional(v.array(v.string())),
  }),
);

/** Where the choices of an adapter are kept, as any value. */
export interface ChoiceValues {
  read(adapter: string): Promise<unknown>;
  write(adapter: string, value: unknown): Promise<void>;
}

/** The adapter is sealed too: what was kept of one is no choice for another. */
export function sealedChoices(values: ChoiceValues): KernelChoiceStore {
  return {
    async read(adapter) {
      const found = await unseal(await values.read(adapter).catch(() => undefined));
      const { adapter: owner, choices } = (found ?? {}) as Partial<Record<'adapter' | 'choices', unknown>>;
      return owner === adapter && v.is(Choices, choices) ? choices : undefined;
    },
    write: async (adapter, choices) => values.write(adapter, await seal({ adapter, choices: { ...choices } })),
  };
}
