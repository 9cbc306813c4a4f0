/**
 * Counter-based random numbers: a value is a hash of (seed, stream, index), so any position can be reached without
 * replaying what came before. That is what makes resuming exact and lets the GPU draw the same dropout mask twice.
 * Hash: PCG-RXS-M-XS 32, as in Jarzynski and Olano, "Hash Functions for GPU Rendering" (JCGT 9(3), 2020).
 */
function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

export function hash(seed: number, stream: number, index: number): number {
  return pcg((pcg((pcg(seed >>> 0) + stream) >>> 0) + index) >>> 0);
}

/** A sequence of draws whose whole state is three integers. */
export class Random {
  constructor(
    readonly seed: number,
    readonly stream = 0,
    public index = 0,
  ) {}

  /** Uniform 32-bit integer. */
  uint32(): number {
    return hash(this.seed, this.stream, this.index++);
  }

  /** Uniform in [0, 1), with 24 random bits. */
  uniform(): number {
    return (this.uint32() >>> 8) * 2 ** -24;
  }

  /** Standard normal (Box and Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** 0 … n-1 in random order (Fisher and Yates). */
  permutation(n: number): number[] {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}
