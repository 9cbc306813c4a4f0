/**
 * The draw of `exact-draw.ts` without sorting the vocabulary. Tokens go into buckets by weight; only the buckets in which
 * a cut or the draw falls are sorted. Sums here differ from the exact ones by less than a known slack: where that could
 * change a cut or the token, there is no quick answer. That happens in about one draw of 20,000 from flat logits.
 */
import { drawsFromSome, type SamplingOptions } from './sampling-options';

const BUCKETS = 8192;
/**
 * Buckets cover scaled logits from the largest to this much below it. The rest weighs under exp(-40) < 2^-57 each: added
 * to a sum of 1 or more, as every sum in descending order is, it changes no bit.
 */
const DEPTH = 40;
/** Buckets in a unit: no round number, so that logits in steps, as 16 bits make them, don't lie on edges. */
const PER_UNIT = 144 * Math.SQRT2;
const UNIT = 1 / PER_UNIT;
/** The bucket of the rest. What it weighs means nothing, but is NaN where a logit makes it so. */
const TAIL = BUCKETS;

/** The weight at the upper edge of each bucket. */
const EDGES = Float64Array.from({ length: BUCKETS }, (_, bucket) => Math.exp(-bucket / PER_UNIT));

/** What draws write into, one after another. */
export class QuickDrawScratch {
  /** Of each token. */
  readonly bucketOf: Uint16Array;
  /** Of each bucket: how much it weighs, within 1e-12 of it. */
  readonly masses = new Float64Array(BUCKETS + 1);
  readonly counts = new Uint32Array(BUCKETS + 1);
  /** Of the bucket that was opened last: its ids in the order of their draw. */
  readonly members: Uint32Array;
  /** Exact weights of those, by id. */
  readonly weights: Float64Array;

  constructor(vocabSize: number) {
    this.bucketOf = new Uint16Array(vocabSize);
    this.members = new Uint32Array(vocabSize);
    this.weights = new Float64Array(vocabSize);
  }
}

/** The id that `drawExactly` gives, or undefined where only that can tell. `largest` is the largest logit. */
export function drawQuickly(
  scratch: QuickDrawScratch,
  logits: Float32Array,
  largest: number,
  options: SamplingOptions,
  uniform: number,
): number | undefined {
  const { temperature, topP, topK, minP = 0 } = options;
  const draw = new QuickDraw(scratch, logits, largest, temperature, drawsFromSome(options));
  if (!draw.fill()) return undefined;
  // Candidates are the first in order, so what they weigh together says which they are.
  let mass: number | undefined = draw.massBefore(BUCKETS);
  if (topK > 0) mass = draw.massOfFirst(topK);
  if (topP < 1) mass = draw.find(topP * mass)?.sum;
  if (mass !== undefined && minP > 0) mass = draw.cutBelow(minP, mass);
  const found = mass === undefined ? undefined : draw.find(uniform * mass);
  return found && !draw.liesOnEdge(found.id) ? found.id : undefined;
}

class QuickDraw {
  /** Ids of a bucket that isn't by weight. */
  private readonly span: number;
  private opened: { readonly bucket: number; readonly ids: Uint32Array } | undefined;

  constructor(
    private readonly scratch: QuickDrawScratch,
    private readonly logits: Float32Array,
    private readonly largest: number,
    private readonly temperature: number,
    /** Buckets are by weight, from the likeliest down; else ids follow one another through them. */
    private readonly sorted: boolean,
  ) {
    this.span = Math.ceil(logits.length / BUCKETS);
  }

  /** Fills the buckets. False where a weight would be NaN. */
  fill(): boolean {
    if (!(this.temperature > 0)) return false;
    return this.sorted ? this.fillByWeight() : this.fillById();
  }

  /** Whether rounding may have made the token's weight equal to one across the edge, where ids decide the order. */
  liesOnEdge(id: number): boolean {
    return this.sorted && isNearEdge((this.largest - this.logits[id]!) * (PER_UNIT / this.temperature));
  }

  private fillByWeight(): boolean {
    const { logits, largest } = this;
    const { bucketOf, masses } = this.scratch;
    const scale = PER_UNIT / this.temperature;
    masses.fill(0);
    for (let id = 0; id < logits.length; id++) {
      const depth = (largest - logits[id]!) * scale;
      const bucket = depth < BUCKETS ? depth | 0 : TAIL;
      masses[bucket]! += expWithinBucket(bucket - depth);
      bucketOf[id] = bucket;
    }
    for (let bucket = 0; bucket < BUCKETS; bucket++) masses[bucket]! *= EDGES[bucket]!;
    return !Number.isNaN(masses[TAIL]);
  }

  private fillById(): boolean {
    const { logits, largest } = this;
    const { masses } = this.scratch;
    const scale = PER_UNIT / this.temperature;
    masses.fill(0);
    let rest = 0;
    for (let bucket = 0, id = 0; id < logits.length; bucket++) {
      const end = Math.min(id + this.span, logits.length);
      let mass = 0;
      for (; id < end; id++) {
        const depth = (largest - logits[id]!) * scale;
        const edge = depth < BUCKETS ? depth | 0 : TAIL;
        if (edge < TAIL) mass += EDGES[edge]! * expWithinBucket(edge - depth);
        else rest += depth;
      }
      masses[bucket] = mass;
    }
    return !Number.isNaN(rest);
  }

  massBefore(bucket: number): number {
    let mass = 0;
    for (let i = 0; i < bucket; i++) mass += this.scratch.masses[i]!;
    return mass;
  }

  /** What the `count` likeliest tokens weigh. */
  massOfFirst(count: number): number {
    const { bucketOf, counts, weights } = this.scratch;
    counts.fill(0);
    for (let id = 0; id < this.logits.length; id++) counts[bucketOf[id]!]!++;
    let bucket = 0;
    let seen = 0;
    while (bucket < BUCKETS && seen + counts[bucket]! <= count) seen += counts[bucket++]!;
    const before = this.massBefore(bucket);
    if (bucket === BUCKETS || seen === count) return before;
    const last = this.open(bucket).subarray(0, count - seen);
    return last.reduce((sum, id) => sum + weights[id]!, before);
  }

  /** What is left of the first tokens that weigh `mass` without those below `minP` of the likeliest. */
  cutBelow(minP: number, mass: number): number | undefined {
    const depth = -Math.log(minP) * PER_UNIT;
    if (depth >= BUCKETS) return mass;
    if (isNearEdge(depth)) return undefined;
    const bucket = Math.floor(depth);
    const { weights } = this.scratch;
    const above = (sum: number, id: number) => (weights[id]! < minP ? sum : sum + weights[id]!);
    return Math.min(mass, this.open(bucket).reduce(above, this.massBefore(bucket)));
  }

  /** The token with which the sum of weights, in order, reaches `target`; undefined where rounding may decide it. */
  find(target: number): { readonly id: number; readonly sum: number } | undefined {
    let bucket = 0;
    let sum = 0;
    while (bucket < BUCKETS && sum + this.scratch.masses[bucket]! < target) sum += this.scratch.masses[bucket++]!;
    if (bucket === BUCKETS) return undefined;
    const slack = this.slackOf(target);
    for (const id of this.open(bucket)) {
      const before = sum;
      sum += this.scratch.weights[id]!;
      if (sum < target) continue;
      // Nothing comes before the likeliest, so it may be reached by any sum.
      const isFirst = this.sorted && before === 0;
      return sum - target > slack && (isFirst || target - before > slack) ? { id, sum } : undefined;
    }
    return undefined;
  }

  /**
   * How far exact sums near `target` and those made here may lie apart. A sum of n numbers is off by n 2^-53 of itself at
   * most (Higham, Accuracy and Stability of Numerical Algorithms, 4.2); two such meet on either side. Masses are off by
   * 1e-12, and without what lies in the tail.
   */
  private slackOf(target: number): number {
    const n = this.logits.length;
    return (n * 2 ** -51 + 1e-11) * target + n * Math.exp(-DEPTH);
  }

  /** The ids of a bucket in the order of their draw, with their weights in `weights`. */
  private open(bucket: number): Uint32Array {
    if (this.opened?.bucket !== bucket) this.opened = { bucket, ids: this.readBucket(bucket) };
    return this.opened.ids;
  }

  private readBucket(bucket: number): Uint32Array {
    const { logits, largest, temperature } = this;
    const { bucketOf, members, weights } = this.scratch;
    let count = 0;
    if (this.sorted) {
      for (let id = 0; id < logits.length; id++) if (bucketOf[id] === bucket) members[count++] = id;
    } else {
      const end = Math.min((bucket + 1) * this.span, logits.length);
      for (let id = bucket * this.span; id < end; id++) members[count++] = id;
    }
    const ids = members.subarray(0, count);
    for (const id of ids) weights[id] = Math.exp((logits[id]! - largest) / temperature);
    return this.sorted ? ids.sort((a, b) => weights[b]! - weights[a]! || a - b) : ids;
  }
}

/** exp of a distance within a bucket, from -1 to 0 buckets: Taylor's series, within (1 / PER_UNIT)^5 / 5! = 2e-14. */
function expWithinBucket(distance: number): number {
  const x = distance * UNIT;
  return 1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24))));
}

/** Whether a depth in buckets is so close to an edge that rounding may have moved it across; nothing lies above the first. */
function isNearEdge(depth: number): boolean {
  const edge = Math.round(depth);
  return edge > 0 && Math.abs(depth - edge) < 1e-6;
}
