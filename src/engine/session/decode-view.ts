/** Decoding: a KV cache over several sequences, asked with and without the adapter. */
import { GraftError } from '../../core/errors';
import type { Graph, Tensor } from '../graph/graph';
import { byteSize } from '../graph/tensor';
import { LEAF, type ModelOptions } from '../model/leaves';
import { isLong } from '../model/rotary';
import { refuseUnknownIds } from '../runtime/upload';
import type { DecodeView, DecodeViewOptions } from '../types';
import { decodeGraph } from './decode-graph';
import type { SessionCore, ViewPlan } from './view';

/** Prompts are padded to one of few lengths, so that few programs serve all. */
const SHORTEST_PROMPT = 16;

export interface DecodePlan extends ViewPlan {
  readonly promptLengths: readonly number[];
  readonly logits: ReadonlyMap<string, Tensor>;
}

export function planDecoding(model: ModelOptions, options: DecodeViewOptions): DecodePlan {
  const { batchSize: batch, maxLength: capacity } = options;
  const promptLengths = doublings(SHORTEST_PROMPT, capacity);
  const graphs = new Map<string, Graph>();
  const logits = new Map<string, Tensor>();
  for (const adapter of model.lora ? [true, false] : [false]) {
    for (const length of [1, ...promptLengths]) {
      const name = programName(adapter, length);
      const built = decodeGraph({ ...model, lora: adapter ? model.lora : undefined, batch, length, capacity });
      graphs.set(name, built.graph);
      logits.set(name, built.logits);
    }
  }
  const readbackBytes = Math.max(...[...logits.values()].map(byteSize));
  return { graphs, promptLengths, logits, buffers: [], readbackBytes };
}

const programName = (adapter: boolean, length: number) => `${adapter ? 'tuned' : 'base'}:${length}`;

/** first, 2·first, 4·first, … and `last` itself. */
function doublings(first: number, last: number): number[] {
  const lengths: number[] = [];
  for (let length = first; length < last; length *= 2) lengths.push(length);
  return [...lengths, last];
}

export class GpuDecodeView implements DecodeView {
  /** Tokens in the cache, by sequence. */
  private rows: number[][] = [];
  private adapterOn = false;

  constructor(
    private readonly core: SessionCore,
    private readonly options: DecodeViewOptions,
    private readonly planned: DecodePlan,
  ) {}

  async prefill(
    prompts: readonly (readonly number[])[],
    useAdapter = this.core.model.lora !== undefined,
  ): Promise<Float32Array> {
    const { batchSize } = this.options;
    if (prompts.length === 0 || prompts.length > batchSize || prompts.some((prompt) => prompt.length === 0)) {
      throw new Error(`expected 1 to ${batchSize} prompts of at least one token`);
    }
    this.rows = prompts.map((prompt) => [...prompt]);
    this.adapterOn = useAdapter && this.core.model.lora !== undefined;
    return this.fillCache();
  }

  async decode(tokens: readonly number[]): Promise<Float32Array> {
    if (tokens.length !== this.rows.length) throw new Error(`expected ${this.rows.length} tokens, one a sequence`);
    const before = this.longest;
    if (before >= this.options.maxLength) throw contextFull(before + 1, this.options.maxLength);
    const start = this.rows.map((row) => row.length);
    this.rows.forEach((row, b) => row.push(tokens[b]!));
    // Where LongRoPE takes other frequencies from here on, the keys in the cache are rotated anew.
    const { spec } = this.core.model;
    if (isLong(spec, before + 1) && !isLong(spec, before)) return this.fillCache();
    return this.run(
      tokens.map((token) => [token]),
      1,
      start,
      start.map(() => 1),
    );
  }

  private get longest(): number {
    return Math.max(...this.rows.map((row) => row.length));
  }

  /** Computes keys and values of all rows. */
  private async fillCache(): Promise<Float32Array> {
    const { longest } = this;
    const length = this.planned.promptLengths.find((candidate) => candidate >= longest);
    if (length === undefined) throw contextFull(longest, this.options.maxLength);
    return this.run(
      this.rows,
      length,
      this.rows.map(() => 0),
      this.rows.map((row) => row.length),
    );
  }

  private run(
    rows: readonly (readonly number[])[],
    length: number,
    start: readonly number[],
    counts: readonly number[],
  ): Promise<Float32Array> {
    const { memory, model, rotary } = this.core;
    const { batchSize: batch } = this.options;
    const { vocabSize } = model.spec;
    const ids = new Uint32Array(batch * length);
    rows.forEach((row, b) => ids.set(row, b * length));
    refuseUnknownIds(ids, vocabSize);
    const name = programName(this.adapterOn, length);
    return this.core.exclusively(async () => {
      rotary.useFor(this.longest);
      memory.write(LEAF.ids, ids);
      // Sequences that are not in use stay at position 0 and are never read.
      memory.write(
        LEAF.start,
        Uint32Array.from({ length: batch }, (_, b) => start[b] ?? 0),
      );
      memory.write(
        LEAF.lastRows,
        Uint32Array.from({ length: batch }, (_, b) => b * length + (counts[b] ?? 1) - 1),
      );
      const [logits] = await memory.runAndRead(name, [this.planned.logits.get(name)!]);
      return logits!.subarray(0, rows.length * vocabSize);
    });
  }
}

function contextFull(needed: number, capacity: number): GraftError {
  return new GraftError(
    'bad-config',
    `The conversation needs ${needed} tokens and the context holds ${capacity}: start a new one or allow a longer context.`,
  );
}
