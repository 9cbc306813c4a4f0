/** What the parts of the card kit tell, a line of JSON each: a part that is stopped leaves what it had found by then. */
import type { KernelChoice } from '../../src/core/kernel-choices';
import type { Ceilings } from '../bench/bench';
import type { Row } from '../bench/report';

export type Finding =
  | { readonly kind: 'fact'; readonly name: string; readonly value: string }
  /** What is right or wrong, with the figures that say so. */
  | { readonly kind: 'check'; readonly name: string; readonly passed: boolean; readonly detail: string }
  | { readonly kind: 'row'; readonly row: Row }
  | { readonly kind: 'ceilings'; readonly ceilings: Ceilings }
  | { readonly kind: 'choice'; readonly shapeClass: string; readonly choice: KernelChoice };

/** `small`: everything once, at sizes that a software adapter bears in a few minutes. */
export type Size = 'small' | 'full';

/** What a part is given. */
export interface PartInput {
  readonly size: Size;
  /** Where what is shared between parts lies: the choices among kernels. */
  readonly folder: string;
  /** As an earlier part has measured them. */
  readonly ceilings?: Ceilings | undefined;
}

export type Tell = (finding: Finding) => void;

export type Part = (input: PartInput, tell: Tell) => Promise<void>;

/** How a part ended. */
export interface Outcome {
  readonly name: string;
  readonly seconds: number;
  /** Why it has no end of its own: it failed, or its time was over. */
  readonly failure?: string;
  readonly findings: readonly Finding[];
}
