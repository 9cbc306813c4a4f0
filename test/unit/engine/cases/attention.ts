/** Rotary embedding, attention and the KV cache. */
import { attention } from '../../../../src/engine/ops/attention';
import type { AttentionSizes } from '../../../../src/engine/ops/attention_sizes';
import { gatherRows, kvAppend } from '../../../../src/engine/ops/cache';
import { rope } from '../../../../src/engine/ops/rope';
import * as reference from '../../../reference/attention';
import * as cache from '../../../reference/cache';
import * as rotation from '../../../reference/rope';
import type { LeafInput } from '../../../support/graph-runner';
import { given, normal, opCase, trainable, type OpCase } from './types';

/** `first` of a sequence of documents of these lengths, end to end. */
const firstRows = (documents: readonly number[]) =>
  documents.flatMap((length, i) => {
    const begin = documents.slice(0, i).reduce((sum, before) => sum + before, 0);
    return Array.from({ length }, () => begin);
  });

/** How the documents of packed sequences are named. */
const packing = (documents: readonly (readonly number[])[]) =>
  documents.length > 0 ? `, documents of ${documents.map((lengths) => lengths.join(' + ')).join(' and ')}` : '';

/** The leaf `start`; for packed sequences `first` too, which the rest of the leaves then carries along. */
function rowLeaves(starts: readonly number[], documents: readonly (readonly number[])[]): Record<'start', LeafInput> {
  const start = given(starts);
  return documents.length > 0 ? { start, ...{ first: given(documents.flatMap(firstRows)) } } : { start };
}

function ropeCase(
  starts: readonly number[],
  length: number,
  heads: number,
  headDim: number,
  documents: readonly (readonly number[])[] = [],
  rotaryDim = headDim,
): OpCase {
  const sizes = { length, heads, headDim, rotaryDim };
  const half = rotaryDim / 2;
  const positions = Math.max(...starts) + length;
  const angles = Array.from({ length: positions * half }, (_, i) => Math.floor(i / half) * 10 ** (-(i % half) / half));
  return opCase({
    name: `rope B ${starts.length} from ${starts.join(' and ')}, T ${length}, H ${heads}, ${rotaryDim === headDim ? '' : `${rotaryDim} of `}D ${headDim}${packing(documents)}`,
    inputs: {
      x: trainable(normal([starts.length * length, heads * headDim])),
      ...rowLeaves(starts, documents),
      cos: given(angles.map(Math.cos), 'f32', [positions, half]),
      sin: given(angles.map(Math.sin), 'f32', [positions, half]),
    },
    build: (graph, { x, ...rotary }) => [rope(graph, x, rotary, sizes)],
    forward: ({ x, cos, sin, ...rows }) => [rotation.rope(x, rows, cos, sin, sizes)],
    backward: ({ cos, sin, ...rows }, dy) => ({ x: rotation.ropeBackward(rows, cos, sin, dy, sizes) }),
  });
}

type Heads = Omit<AttentionSizes, 'batch' | 'length' | 'keys'>;

/** What of the scores is not as usual. */
const scoring = ({ scale, window, softcap }: Heads) =>
  Object.entries({ scale, window, softcap })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `, ${name} ${value}`)
    .join('');

/** As in training: every sequence from position 0, as many keys as queries. Large queries sharpen the softmax. */
export function attentionCase(
  batch: number,
  length: number,
  options: Heads,
  size = 1,
  documents: readonly (readonly number[])[] = [],
): OpCase {
  const sizes = { batch, length, keys: length, ...options };
  const { heads, kvHeads, headDim } = sizes;
  return opCase({
    name: `attention B ${batch}, T ${length}, H ${heads}/${kvHeads}, D ${headDim}${scoring(options)}${size === 1 ? '' : `, scores × ${size}`}${packing(documents)}`,
    inputs: {
      q: trainable(normal([batch * length, heads * headDim], size)),
      k: trainable(normal([batch * length, kvHeads * headDim])),
      v: trainable(normal([batch * length, kvHeads * headDim])),
      ...rowLeaves(new Array<number>(batch).fill(0), documents),
    },
    build: (graph, { q, k, v, ...rows }) => [attention(graph, q, k, v, rows, sizes)],
    forward: ({ q, k, v, ...rows }) => [reference.attention(q, k, v, rows, sizes)],
    backward: ({ q, k, v, ...rows }, dy) => {
      const { dq, dk, dv } = reference.attentionBackward(q, k, v, rows, dy, sizes);
      return { q: dq, k: dk, v: dv };
    },
  });
}

/** As in decoding: keys in a cache longer than what each sequence has seen. */
function cachedAttentionCase(starts: readonly number[], length: number, keys: number, heads: Heads): OpCase {
  const batch = starts.length;
  const sizes = { batch, length, keys, ...heads };
  return opCase({
    name: `attention over a cache of ${keys} from ${starts.join(' and ')}, T ${length}, D ${heads.headDim}${scoring(heads)}`,
    inputs: {
      q: normal([batch * length, heads.heads * heads.headDim]),
      k: normal([batch, keys, heads.kvHeads * heads.headDim]),
      v: normal([batch, keys, heads.kvHeads * heads.headDim]),
      start: given(starts),
    },
    build: (graph, { q, k, v, start }) => [attention(graph, q, k, v, { start }, sizes)],
    forward: ({ q, k, v, start }) => [reference.attention(q, k, v, { start }, sizes)],
  });
}

/** As a prompt goes into one of several slots: to attention the whole cache is one sequence, and a slot a document. */
function slotAttentionCase(slot: number, slots: number, from: number, length: number, capacity: number): OpCase {
  const sizes = { batch: 1, length, keys: slots * capacity, ...grouped, window: capacity };
  const { heads, kvHeads, headDim } = grouped;
  const begin = slot * capacity;
  return opCase({
    name: `attention in slot ${slot} of ${slots}·${capacity} from ${from}, T ${length}`,
    inputs: {
      q: normal([length, heads * headDim]),
      k: normal([1, slots * capacity, kvHeads * headDim]),
      v: normal([1, slots * capacity, kvHeads * headDim]),
      start: given([begin + from]),
      first: given(new Array<number>(length).fill(begin)),
    },
    build: (graph, { q, k, v, ...rows }) => [attention(graph, q, k, v, rows, sizes)],
    forward: ({ q, k, v, ...rows }) => [reference.attention(q, k, v, rows, sizes)],
  });
}

/** Sequences of which some end before all their rows are written, or run over the end of their cache. */
function kvAppendCase(
  starts: readonly number[],
  ends: readonly number[],
  length: number,
  capacity: number,
  channels: number,
): OpCase {
  return opCase({
    name: `kvAppend [${starts.length}·${length}, ${channels}] from ${starts.join(' and ')} to ${ends.join(' and ')} of ${capacity}`,
    inputs: {
      x: normal([starts.length * length, channels]),
      start: given(starts),
      end: given(ends),
      cache: normal([starts.length, capacity, channels]),
    },
    build: (graph, { x, cache, ...range }) => {
      kvAppend(graph, x, range, cache, length);
      return [cache];
    },
    forward: ({ x, cache: before, ...range }) => [cache.kvAppend(x, range, before, { length, capacity, channels })],
  });
}

const gatherCase: OpCase = opCase({
  name: 'gatherRows [5] of [33, 65]',
  inputs: { x: normal([33, 65]), rows: given([32, 0, 7, 7, 31]) },
  build: (graph, { x, rows }) => [gatherRows(graph, x, rows)],
  forward: ({ x, rows }) => [cache.gatherRows(x, rows, 65)],
});

const grouped = { heads: 3, kvHeads: 1, headDim: 8 };

export const attentionCases: readonly OpCase[] = [
  ropeCase([0, 0], 7, 3, 8),
  ropeCase([5, 0, 2], 3, 1, 12),
  ropeCase([0], 65, 2, 6),
  ropeCase([0, 0], 7, 2, 8, [[3, 1, 3], [7]]),
  ropeCase([0, 3], 5, 3, 16, [], 8),
  ropeCase([2, 0], 5, 3, 12, [], 8),
  ropeCase([0], 5, 2, 16, [], 6),
  attentionCase(2, 7, grouped),
  attentionCase(1, 2, { heads: 2, kvHeads: 2, headDim: 8 }),
  attentionCase(2, 65, { heads: 4, kvHeads: 2, headDim: 8 }),
  attentionCase(1, 130, grouped),
  attentionCase(1, 70, { heads: 2, kvHeads: 1, headDim: 36 }), // a head of more than one span
  attentionCase(1, 67, grouped, 20),
  attentionCase(2, 7, grouped, 1, [
    [3, 1, 3],
    [1, 6],
  ]),
  attentionCase(1, 200, { heads: 2, kvHeads: 1, headDim: 8 }, 1, [[5, 66, 1, 64, 61, 1, 1, 1]]),
  attentionCase(1, 9, { ...grouped, scale: 1 }),
  attentionCase(2, 7, { ...grouped, window: 3 }),
  attentionCase(1, 40, { ...grouped, window: 2 }),
  // Around the edges of tiles.
  ...[31, 32, 33, 64, 97].map((window) => attentionCase(1, 130, { heads: 1, kvHeads: 1, headDim: 8, window })),
  attentionCase(2, 65, { heads: 4, kvHeads: 2, headDim: 8, window: 65 }), // all that there is
  attentionCase(1, 40, { ...grouped, window: 4096 }),
  attentionCase(1, 200, { heads: 2, kvHeads: 1, headDim: 8, window: 20 }, 1, [[5, 66, 1, 64, 61, 1, 1, 1]]),
  attentionCase(1, 130, { heads: 4, kvHeads: 4, headDim: 8, window: 48 }, 1, [[100, 30]]),
  attentionCase(2, 33, { ...grouped, softcap: 50 }),
  attentionCase(1, 67, { ...grouped, softcap: 2 }, 3), // from all but linear to all but flat
  attentionCase(1, 67, { heads: 2, kvHeads: 2, headDim: 8, softcap: 5 }, 100), // where exp(2 x) overflows
  attentionCase(1, 70, { heads: 4, kvHeads: 2, headDim: 16, scale: 0.1, window: 33, softcap: 3 }, 8, [[9, 61]]),
  attentionCase(1, 37, { heads: 2, kvHeads: 1, headDim: 96 }),
  attentionCase(1, 37, { heads: 2, kvHeads: 1, headDim: 256, scale: 1 / 16, window: 17, softcap: 2 }, 4),
  cachedAttentionCase([0], 1, 1, { heads: 2, kvHeads: 2, headDim: 12 }),
  cachedAttentionCase([0, 5], 1, 7, grouped),
  cachedAttentionCase([0, 62, 129], 1, 131, { heads: 4, kvHeads: 2, headDim: 8 }),
  cachedAttentionCase([3, 0], 65, 70, grouped),
  cachedAttentionCase([400], 2, 403, { heads: 2, kvHeads: 1, headDim: 256 }),
  cachedAttentionCase([66], 3, 69, { heads: 2, kvHeads: 1, headDim: 64 }),
  cachedAttentionCase([40], 1, 70, { ...grouped, window: 1 }),
  cachedAttentionCase([5, 129, 400], 1, 403, { ...grouped, window: 64 }),
  cachedAttentionCase([0, 300], 2, 303, { heads: 4, kvHeads: 2, headDim: 96, window: 7, softcap: 1, scale: 0.5 }),
  cachedAttentionCase([100, 0], 65, 170, { ...grouped, window: 40, softcap: 1 }),
  slotAttentionCase(0, 2, 0, 16, 20),
  slotAttentionCase(1, 3, 5, 40, 70),
  slotAttentionCase(2, 3, 30, 33, 67),
  kvAppendCase([0, 3], [3, 6], 3, 7, 20),
  kvAppendCase([5, 2, 6], [9, 9, 9], 3, 7, 65),
  kvAppendCase([1, 0, 4], [3, 0, 5], 3, 7, 12),
  gatherCase,
];
