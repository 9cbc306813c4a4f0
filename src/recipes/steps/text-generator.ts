/** Text from a session that decodes: greedy or sampled, one prompt or many, streamed as it comes. */
import { GraftError, throwIfCancelled } from '../../core/errors';
import { Random } from '../../core/rng';
import type { DecodeView, DecodeViewOptions } from '../../engine';
import type { HubModel } from '../../formats/model';
import { isAboutPrompt, promptIds, type Prompt } from './prompt-ids';
import { Sampler } from './sampling';
import { Sequence, SAMPLING_STREAM, type Generation, type GenerationOptions } from './sequence';
import { TextStream } from './text-stream';

/** What is asked of the cache. */
interface Queue {
  /** The sequence to answer next, or undefined where there is none. */
  next(): Sequence | undefined;
  ended(sequence: Sequence): void;
  /** Whether what a slot holds of a prompt needn't be computed again; see `AdmitOptions`. */
  readonly reusePrefix: boolean;
}

export class TextGenerator {
  private readonly sampler: Sampler;
  private lastAnswer: Promise<unknown> = Promise.resolve();
  private readonly closing = new AbortController();
  /** Sequences that slots took so far, and which of them each took last. */
  private admitted = 0;
  private readonly lastAdmitted: number[];

  constructor(
    private readonly model: HubModel,
    private readonly view: DecodeView,
    private readonly size: DecodeViewOptions,
    private readonly end: () => void = () => undefined,
  ) {
    this.sampler = new Sampler(model.spec.vocabSize);
    this.lastAdmitted = new Array<number>(size.batchSize).fill(0);
  }

  /** Tokens of prompt and answer together. */
  get contextLength(): number {
    return this.size.maxLength;
  }

  /** Tokens that went through the model so far: the next turn of a conversation adds what is new in it. */
  get computedTokens(): number {
    return this.view.computedTokens;
  }

  /**
   * Answers one prompt; `onText` gets whole characters as they come. What the cache holds of it, as the turns before this
   * one, isn't computed again.
   * @throws `bad-config` where the prompt fills the context, `cancelled`.
   */
  async generate(
    prompt: Prompt,
    options: GenerationOptions,
    onText: (piece: string) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<Generation> {
    const sequence = this.open(prompt, options, options.seed, onText);
    const waiting = [sequence];
    await this.answer({ next: () => waiting.pop(), ended: () => undefined, reusePrefix: true }, options, signal);
    return sequence.generation();
  }

  /**
   * Answers many prompts, `batchSize` at once: where one ends, the next takes its place. What each gets doesn't depend on
   * the others. `onDone` gets each answer as soon as it and those before it are there. `onRefused` gets what can't be
   * asked, as a prompt that is longer than the context, and the others go on; without it that is thrown.
   */
  async generateAll(
    prompts: readonly Prompt[],
    options: GenerationOptions,
    onDone: (generation: Generation, index: number) => void = () => undefined,
    signal?: AbortSignal,
    onRefused?: (error: GraftError, index: number) => void,
  ): Promise<Generation[]> {
    const done: Generation[] = [];
    const outcomes = new Map<number, () => void>();
    let told = 0;
    const settle = (index: number, tell: () => void) => {
      outcomes.set(index, tell);
      for (; outcomes.has(told); told++) outcomes.get(told)!();
    };
    const indices = new Map<Sequence, number>();
    let opened = 0;
    const next = (): Sequence | undefined => {
      while (opened < prompts.length) {
        const index = opened++;
        try {
          // A prompt's draws don't depend on the prompts beside it.
          const sequence = this.open(prompts[index]!, options, options.seed + index);
          indices.set(sequence, index);
          return sequence;
        } catch (error) {
          if (!onRefused || !isAboutPrompt(error)) throw error;
          settle(index, () => onRefused(error, index));
        }
      }
      return undefined;
    };
    const ended = (sequence: Sequence) => {
      const index = indices.get(sequence)!;
      const generation = sequence.generation();
      settle(index, () => {
        done.push(generation);
        onDone(generation, index);
      });
    };
    await this.answer({ next, ended, reusePrefix: false }, options, signal);
    return done;
  }

  /** Resolves once nothing is being answered. */
  async quiet(): Promise<void> {
    let last: unknown;
    while (last !== this.lastAnswer) {
      last = this.lastAnswer;
      await last;
    }
  }

  /** Stops what is being answered at its next token and refuses what is asked from here on, both as `cancelled`. */
  async close(reason: string): Promise<void> {
    this.closing.abort(new GraftError('cancelled', reason));
    await this.quiet();
  }

  dispose(): void {
    this.end();
  }

  private open(prompt: Prompt, options: GenerationOptions, seed: number, onText?: (piece: string) => void): Sequence {
    const ids = promptIds(this.model, prompt);
    if (ids.length === 0) throw new GraftError('bad-config', 'The prompt is empty: write something to answer.');
    if (ids.length >= this.contextLength) {
      throw new GraftError(
        'bad-config',
        `The prompt has ${ids.length} tokens and the context holds ${this.contextLength}, answer included: shorten it or start a new conversation.`,
      );
    }
    const { tokenizer } = this.model;
    const opensTurn = prompt.kind === 'chat' || (prompt.kind === 'tokens' && prompt.opensTurn === true);
    const before = opensTurn ? [] : ids;
    const stream = tokenizer && new TextStream(tokenizer, options.stop, before);
    const most = Math.min(options.maxNewTokens, this.contextLength - ids.length);
    return new Sequence(ids, most, new Set(tokenizer?.stopTokenIds), stream, new Random(seed, SAMPLING_STREAM), onText);
  }

  /** Answers what is asked after all that was asked before: the slots are for one call at a time. */
  private answer(queue: Queue, options: GenerationOptions, signal?: AbortSignal): Promise<void> {
    const answered = this.lastAnswer.then(() => this.decode(queue, options, () => this.refuseStopped(signal)));
    this.lastAnswer = answered.catch(() => undefined);
    return answered;
  }

  /** Decodes sequences side by side until none is left. */
  private async decode(queue: Queue, options: GenerationOptions, refuseStopped: () => void): Promise<void> {
    const { view } = this;
    const running = new Map<number, Sequence>();
    const free = new Set(Array.from({ length: this.size.batchSize }, (_, slot) => slot));
    const draw = (slot: number, sequence: Sequence, logits: Float32Array) => {
      refuseNoNumbers(logits);
      sequence.append(this.sampler.draw(logits, options, sequence.random, sequence.all));
      if (!sequence.finish) return;
      running.delete(slot);
      free.add(slot);
      queue.ended(sequence);
    };
    for (;;) {
      while (free.size > 0) {
        refuseStopped();
        const sequence = queue.next();
        if (!sequence) break;
        if (sequence.finish) {
          queue.ended(sequence);
          continue;
        }
        const slot = this.slotFor(sequence, free, options.useAdapter);
        free.delete(slot);
        running.set(slot, sequence);
        const { useAdapter } = options;
        draw(slot, sequence, await view.admit(slot, sequence.all, { useAdapter, reusePrefix: queue.reusePrefix }));
      }
      if (running.size === 0) return;
      refuseStopped();
      const tokens = new Map([...running].map(([slot, { all }]) => [slot, all.at(-1)!]));
      for (const [slot, logits] of await view.decode(tokens)) draw(slot, running.get(slot)!, logits);
    }
  }

  private refuseStopped(signal: AbortSignal | undefined): void {
    throwIfCancelled(signal);
    this.closing.signal.throwIfAborted();
  }

  /** The free slot that holds most of what the sequence begins with; of several, the one that was not used for longest. */
  private slotFor({ all }: Sequence, free: ReadonlySet<number>, useAdapter: boolean): number {
    const held = [...free].map((slot) => ({
      slot,
      tokens: this.view.cachedPrefix(slot, all, useAdapter),
      unused: this.admitted - this.lastAdmitted[slot]!,
    }));
    const [{ slot }] = held.sort((a, b) => b.tokens - a.tokens || b.unused - a.unused || a.slot - b.slot) as [
      (typeof held)[number],
    ];
    this.lastAdmitted[slot] = ++this.admitted;
    return slot;
  }
}

/** From logits that are no numbers some token would be drawn all the same. One value tells: a state that overflowed spoils all. */
function refuseNoNumbers(logits: Float32Array): void {
  if (Number.isFinite(logits[0]!)) return;
  throw new GraftError(
    'diverged',
    'The model answers with numbers that are not finite (NaN or infinity): its weights or those of the adapter are damaged, ' +
      'or come from a training that diverged. Take another copy of them.',
  );
}
