import type { Values } from './values';

/** y[N, C] = scale · table[ids[N], C]. */
export function embedding(ids: Values, table: Values, C: number, scale = 1): Float64Array {
  const y = new Float64Array(ids.length * C);
  for (let n = 0; n < ids.length; n++) {
    for (let c = 0; c < C; c++) y[n * C + c] = scale * table[ids[n]! * C + c]!;
  }
  return y;
}

/** Every token adds its gradient, scaled, to its row of the table [V, C]. */
export function embeddingBackward(ids: Values, dy: Values, V: number, C: number, scale = 1): Float64Array {
  const dtable = new Float64Array(V * C);
  for (let n = 0; n < ids.length; n++) {
    for (let c = 0; c < C; c++) dtable[ids[n]! * C + c]! += scale * dy[n * C + c]!;
  }
  return dtable;
}
