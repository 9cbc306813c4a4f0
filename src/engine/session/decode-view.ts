/** Decoding: a KV cache over several sequences, asked with and without the adapter. */
import { hasAdapter, virtualTokens } from '../../core/adapter';
import { GraftError } from '../../core/errors';
import { parameters } from '../../core/spec';
import type { Graph, Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { LEAF, type ModelOptions } from '../model/leaves';
import { isLong } from '../model/rotary';
import { refuseUnknownIds } from '../runtime/upload';
import type { AdmitOptions, DecodeView, DecodeViewOptions } from '../types';
import { promptGraph, stepGraph } from './decode-graph';
import { adapterChoices, modelFor, type SessionCore, type ViewPlan } from './view';
import { virtualIds } from './virtual-tokens';

/** Prompts are computed in pieces of at most so many tokens, each padded to one of few lengths: few programs serve all. */
const SHORTEST_PIECE = 16;
const LONGEST_PIECE = 512;

export interface DecodePlan extends ViewPlan {
  /** Lengths that pieces of prompts are padded to, ascending. */
  readonly pieces: readonly number[];
  /** By the program's name. */
  readonly logits: ReadonlyMap<string, Tensor>;
}

const programName = {
  step: (adapter: boolean) => `decode:${adapter ? 'tuned' : 'base'}`,
  prompt: (adapter: boolean, length: number) => `prompt:${adapter ? 'tuned' : 'base'}:${length}`,
};

export function planDecoding(model: ModelOptions, options: DecodeViewOptions): DecodePlan {
  const { batchSize: slots, maxLength: capacity } = options;
  const pieces = doublings(SHORTEST_PIECE, Math.min(LONGEST_PIECE, capacity));
  const graphs = new Map<string, Graph>();
  const logits = new Map<string, Tensor>();
  for (const adapter of adapterChoices(model)) {
    const shared = { ...modelFor(model, adapter), slots, capacity };
    const built = [
      { name: programName.step(adapter), ...stepGraph(shared) },
      ...pieces.map((length) => ({ name: programName.prompt(adapter, length), ...promptGraph(shared, length) })),
    ];
    for (const { name, graph, logits: result } of built) {
      graphs.set(name, graph);
      logits.set(name, result);
    }
  }
  const readbackBytes = Math.max(...[...logits.values()].map(byteSize));
  return { graphs, pieces, logits, buffers: [], readbackBytes };
}

/** first, 2·first, 4·first, … and `last` itself. */
function doublings(first: number, last: number): number[] {
  const lengths: number[] = [];
  for (let length = first; length < last; length *= 2) lengths.push(length);
  return [...lengths, last];
}

/** By what keys and values were computed: where that is another now, they are computed again. */
interface Computation {
  readonly adapter: boolean;
  /** Whether LongRoPE's long factors rotated them. */
  readonly long: boolean;
  /** Of what is trained. */
  readonly version: number;
}

/** What a slot of the cache holds, virtual tokens before the sequence included. */
interface CachedSequence {
  readonly ids: number[];
  readonly by: Computation;
}

export class GpuDecodeView implements DecodeView {
  computedTokens = 0;
  private readonly slots: (CachedSequence | undefined)[];
  private readonly trainsBase: boolean;

  constructor(
    private readonly core: SessionCore,
    private readonly options: DecodeViewOptions,
    private readonly planned: DecodePlan,
  ) {
    const { spec, trains } = core.model;
    this.slots = new Array<undefined>(options.batchSize).fill(undefined);
    this.trainsBase = parameters(spec).some(({ name }) => trains(name));
  }

  cachedPrefix(slot: number, ids: readonly number[], useAdapter = true): number {
    const before = this.virtual(useAdapter);
    return Math.max(0, this.heldPrefix(slot, [...before, ...ids], useAdapter) - before.length);
  }

  private heldPrefix(slot: number, ids: readonly number[], useAdapter: boolean): number {
    const held = this.slots[slot];
    if (!held || !isSame(held.by, this.computation(useAdapter, ids.length))) return 0;
    // The last token is computed in any case, for its logits.
    const most = Math.min(held.ids.length, ids.length - 1);
    let count = 0;
    while (count < most && held.ids[count] === ids[count]) count++;
    return count;
  }

  async admit(slot: number, ids: readonly number[], options: AdmitOptions = {}): Promise<Float32Array> {
    const { useAdapter = true, reusePrefix = true } = options;
    const { batchSize } = this.options;
    if (!(slot >= 0 && slot < batchSize) || ids.length === 0) {
      throw new Error(`expected one of ${batchSize} slots, not ${slot}, and at least one token`);
    }
    this.refuse(ids, ids.length);
    const sequence = [...this.virtual(useAdapter), ...ids];
    return this.core.exclusively(() => {
      const held = reusePrefix ? this.heldPrefix(slot, sequence, useAdapter) : 0;
      return this.fill(slot, sequence, held, this.computation(useAdapter, sequence.length));
    });
  }

  decode(tokens: ReadonlyMap<number, number>): Promise<Map<number, Float32Array>> {
    return this.core.exclusively(async () => {
      for (const [slot, token] of tokens) {
        const held = this.slots[slot];
        if (!held) throw new Error(`slot ${slot} has no sequence to go on with`);
        this.refuse([token], held.ids.length - this.virtual(held.by.adapter).length + 1);
      }
      const logits = new Map<number, Float32Array>();
      const steps = new Map<string, number[]>();
      for (const [slot, token] of tokens) {
        const { ids, by } = this.slots[slot]!;
        const now = this.computation(by.adapter, ids.length + 1);
        if (isSame(by, now)) {
          const kind = `${by.adapter} ${by.long}`;
          steps.set(kind, [...(steps.get(kind) ?? []), slot]);
        } else {
          // LongRoPE takes other frequencies from here on, or training went on: all keys in the cache are others now.
          logits.set(slot, await this.fill(slot, [...ids, token], 0, now));
        }
      }
      for (const slots of steps.values()) {
        const step = await this.step(new Map(slots.map((slot) => [slot, tokens.get(slot)!])));
        step.forEach((values, slot) => logits.set(slot, values));
      }
      return logits;
    });
  }

  /** The tokens that stand before a sequence. */
  private virtual(useAdapter: boolean): readonly number[] {
    return useAdapter ? virtualIds(this.core.model) : [];
  }

  /** By what a sequence of that many tokens is computed now. */
  private computation(useAdapter: boolean, length: number): Computation {
    const { model, trained } = this.core;
    const adapter = useAdapter && hasAdapter(model);
    return { adapter, long: isLong(model.spec, length), version: adapter || this.trainsBase ? trained.version : 0 };
  }

  /** Computes a slot's sequence from its token `from` on; what is before that stays. */
  private async fill(slot: number, ids: readonly number[], from: number, by: Computation): Promise<Float32Array> {
    const { memory, rotary } = this.core;
    const { pieces, logits } = this.planned;
    const origin = slot * this.options.maxLength;
    const held: CachedSequence = { ids: ids.slice(0, from), by };
    this.slots[slot] = held;
    rotary.useFor(ids.length);
    for (;;) {
      const start = held.ids.length;
      const left = ids.length - start;
      const length = pieces.find((candidate) => candidate >= left) ?? pieces.at(-1)!;
      const piece = ids.slice(start, start + length);
      const padded = new Uint32Array(length);
      padded.set(piece);
      memory.write(LEAF.ids, padded);
      memory.write(LEAF.cacheStart, Uint32Array.of(origin + start));
      memory.write(LEAF.cacheEnd, Uint32Array.of(origin + start + piece.length));
      memory.write(LEAF.first, new Uint32Array(length).fill(origin));
      memory.write(LEAF.lastRows, Uint32Array.of(piece.length - 1));
      const name = programName.prompt(by.adapter, length);
      const isLast = piece.length === left;
      const [read] = isLast ? await memory.runAndRead(name, [logits.get(name)!]) : [await memory.run(name)];
      held.ids.push(...piece);
      this.computedTokens += piece.length;
      if (read) return read;
    }
  }

  /** Appends a token to sequences that are computed alike. The others' rows stay at position 0 and are written nowhere. */
  private async step(tokens: ReadonlyMap<number, number>): Promise<Map<number, Float32Array>> {
    const { memory, model, rotary } = this.core;
    const { batchSize } = this.options;
    const { vocabSize } = model.spec;
    const ids = new Uint32Array(batchSize);
    const start = new Uint32Array(batchSize);
    const end = new Uint32Array(batchSize);
    for (const [slot, token] of tokens) {
      const { length } = this.slots[slot]!.ids;
      ids[slot] = token;
      start[slot] = length;
      end[slot] = length + 1;
      rotary.useFor(length + 1);
    }
    memory.write(LEAF.ids, ids);
    memory.write(LEAF.cacheStart, start);
    memory.write(LEAF.cacheEnd, end);
    const [first] = tokens.keys();
    const name = programName.step(this.slots[first!]!.by.adapter);
    const [logits] = await memory.runAndRead(name, [this.planned.logits.get(name)!]);
    this.computedTokens += tokens.size;
    const result = new Map<number, Float32Array>();
    for (const [slot, token] of tokens) {
      this.slots[slot]!.ids.push(token);
      result.set(slot, logits!.subarray(slot * vocabSize, (slot + 1) * vocabSize));
    }
    return result;
  }

  private refuse(ids: readonly number[], length: number): void {
    refuseUnknownIds(Uint32Array.from(ids), this.core.model.spec.vocabSize);
    const maxLength = this.options.maxLength - virtualTokens(this.core.model);
    if (length <= maxLength) return;
    throw new GraftError(
      'bad-config',
      `The conversation needs ${length} tokens and the context holds ${maxLength}: start a new one or allow a longer context.`,
    );
  }
}

function isSame(a: Computation, b: Computation): boolean {
  return a.adapter === b.adapter && a.long === b.long && a.version === b.version;
}
