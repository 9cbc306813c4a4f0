/** Random choices that a seed fixes, so that every made-up input can be made again by its number. */
import { hash, Random as Numbers } from '../../src/core/rng';

export class Random {
  private readonly numbers: Numbers;

  /** The same parts give the same choices. */
  constructor(seed: number, parser: string, input: number) {
    const name = Array.from(parser).reduce((sum, char) => hash(sum, char.codePointAt(0)!, 0), 0);
    this.numbers = new Numbers(hash(seed, name, input));
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.numbers.uniform() * limit);
  }

  chance(share: number): boolean {
    return this.numbers.uniform() < share;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A length from 1 to `limit`, of which short ones are likelier. */
  length(limit: number): number {
    return Math.min(limit, Math.floor((limit + 1) ** this.numbers.uniform()));
  }
}
