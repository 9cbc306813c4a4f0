import { softcap, softcapBackward } from './softcap';
import type { Values } from './values';

export interface AttentionSizes {
  readonly batch: number;
  readonly length: number;
  /** Rows of k and v a sequence. */
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** 1/√D unless given. */
  readonly scale?: number | undefined;
  /** Row t sees key s only if t − s is less, as positions of the keys. */
  readonly window?: number | undefined;
  readonly softcap?: number | undefined;
}

/** Where the rows stand: `start` [B], the position of each sequence's first row, and for packed sequences `first` [B·T]. */
export interface Positions {
  readonly start: Values;
  /** The index within its sequence of the first row of each row's document; absent where a sequence is one document. */
  readonly first?: Values | undefined;
}

/** One query row: where it and its keys stand in the flat arrays, and what it sees. */
interface QueryRow {
  /** Offset of the row in q[B·T, H·D]. */
  readonly q: number;
  /** Offset of key or value s in k, v[B·S, G·D]. */
  kv(s: number): number;
  /** Of the keys first[t] … start + t those in the row's window. */
  readonly visible: readonly number[];
}

function* queryRows({ start, first }: Positions, sizes: AttentionSizes): Generator<QueryRow> {
  const { batch, length, keys, heads, kvHeads, headDim, window = Infinity } = sizes;
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      const position = start[b]! + t;
      const document = first?.[b * length + t] ?? 0;
      const visible: number[] = [];
      for (let s = document; s <= position && s < keys; s++) if (position - s < window) visible.push(s);
      for (let h = 0; h < heads; h++) {
        const kvHead = Math.floor(h / (heads / kvHeads));
        yield {
          q: ((b * length + t) * heads + h) * headDim,
          kv: (s) => ((b * keys + s) * kvHeads + kvHead) * headDim,
          visible,
        };
      }
    }
  }
}

function dot(a: Values, aOffset: number, b: Values, bOffset: number, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[aOffset + i]! * b[bOffset + i]!;
  return sum;
}

function softmax(scores: Values): number[] {
  const largest = Math.max(...Array.from(scores));
  const weights = Array.from(scores, (score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

const scaleOf = ({ scale, headDim }: AttentionSizes) => scale ?? 1 / Math.sqrt(headDim);

function scores(row: QueryRow, q: Values, k: Values, sizes: AttentionSizes): number[] {
  return row.visible.map((s) => dot(q, row.q, k, row.kv(s), sizes.headDim) * scaleOf(sizes));
}

/** Causal attention, y = softmax(cap(scale · q · kᵀ)) · v, where H / G query heads share a key-value head. */
export function attention(q: Values, k: Values, v: Values, positions: Positions, sizes: AttentionSizes): Float64Array {
  const D = sizes.headDim;
  const y = new Float64Array(q.length);
  for (const row of queryRows(positions, sizes)) {
    softmax(softcap(scores(row, q, k, sizes), sizes.softcap)).forEach((p, i) => {
      const kv = row.kv(row.visible[i]!);
      for (let d = 0; d < D; d++) y[row.q + d]! += p * v[kv + d]!;
    });
  }
  return y;
}

/** dv = Σ p · dy; with dp = dy · v the softmax gives p · (dp − Σ p · dp), the cap what is left of that, the scores scale it. */
export function attentionBackward(
  q: Values,
  k: Values,
  v: Values,
  positions: Positions,
  dy: Values,
  sizes: AttentionSizes,
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const D = sizes.headDim;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  for (const row of queryRows(positions, sizes)) {
    const uncapped = scores(row, q, k, sizes);
    const p = softmax(softcap(uncapped, sizes.softcap));
    const dp = row.visible.map((s) => dot(dy, row.q, v, row.kv(s), D));
    const mean = p.reduce((sum, probability, i) => sum + probability * dp[i]!, 0);
    const dcapped = p.map((probability, i) => probability * (dp[i]! - mean));
    const dscores = softcapBackward(uncapped, sizes.softcap, dcapped);
    p.forEach((probability, i) => {
      const kv = row.kv(row.visible[i]!);
      const ds = dscores[i]! * scaleOf(sizes);
      for (let d = 0; d < D; d++) {
        dq[row.q + d]! += ds * k[kv + d]!;
        dk[kv + d]! += ds * q[row.q + d]!;
        dv[kv + d]! += probability * dy[row.q + d]!;
      }
    });
  }
  return { dq, dk, dv };
}
