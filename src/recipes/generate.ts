/** Text from a model: greedy or sampled, one prompt or many, streamed as it comes. */
import { GraftError, throwIfCancelled } from '../core/errors';
import { Random } from '../core/rng';
import type { ChatTemplate, Conversation } from '../core/text';
import type { DecodeViewOptions, Engine, Session } from '../engine';
import type { HubModel } from '../formats/model';
import { checkAdapter, type Adapter } from '../formats/peft';
import { loadSession, weightStorageKey, type ModelCache } from './steps/cached-weights';
import type { LoadingReport } from './steps/loading';
import { chooseWeightDType, quantizationOf, type WeightStorage } from './steps/options';
import { Sampler, type SamplingOptions } from './steps/sampling';
import { TextStream } from './steps/text-stream';

/** A conversation to answer (through the chat template), text to go on with, or token ids as they stand. */
export type Prompt = (
  | ({ readonly kind: 'chat' } & Conversation)
  | { readonly kind: 'text'; readonly text: string }
  /** `opensTurn`: the answer begins a turn of its own, as after a conversation, instead of going on with a text. */
  | { readonly kind: 'tokens'; readonly ids: readonly number[]; readonly opensTurn?: boolean }
) & {
  /** Where a person finds it, for messages; of a row of a file. */
  readonly where?: string;
};

export interface GenerationOptions extends SamplingOptions {
  readonly maxNewTokens: number;
  readonly seed: number;
  /** The answer ends before the first of these texts. */
  readonly stop: readonly string[];
  /** False asks the base model. */
  readonly useAdapter: boolean;
}

export interface Generation {
  /** Empty for a model without a tokenizer. */
  readonly text: string;
  /** The new tokens, without the one that ended the turn. */
  readonly ids: readonly number[];
  readonly promptTokens: number;
  /** `length`: maxNewTokens are spent, or the context is full. */
  readonly finish: 'end-of-turn' | 'length' | 'stop-text';
}

export interface GeneratorOptions {
  readonly model: HubModel;
  readonly engine: Engine;
  readonly cache?: ModelCache | undefined;
  readonly adapter?: { readonly name: string; readonly content: Adapter } | undefined;
  /** How base weights are kept; by default as they are stored. An adapter is at home on what it was trained on. */
  readonly storage?: WeightStorage;
  /** Prompts answered at once; 1 by default. */
  readonly batchSize?: number;
  /** Tokens of prompt and answer together; by default what the model can read, at most 2048. */
  readonly contextLength?: number;
}

const DEFAULT_CONTEXT = 2048;
const CONTEXT_STEP = 64;

/** Loads a model, and the adapter to go with it, for any number of answers. */
export async function openGenerator(
  options: GeneratorOptions,
  report: LoadingReport = () => undefined,
  signal?: AbortSignal,
): Promise<TextGenerator> {
  const { model, engine, adapter, storage = {}, batchSize = 1 } = options;
  if (adapter) checkAdapter(adapter.name, adapter.content, model.spec);
  const maxLength = Math.min(options.contextLength ?? DEFAULT_CONTEXT, model.spec.maxPositions);
  const shape = {
    spec: model.spec,
    weightDType: chooseWeightDType(storage.dtype ?? 'auto', model.weightDType),
    quantization: quantizationOf(storage),
    lora: adapter?.content.lora,
  };
  const { session } = await loadSession(
    { model, storage: weightStorageKey(shape), cache: options.cache },
    (weights, keep) => engine.createSession(shape, { decode: { batchSize, maxLength } }, weights, keep),
    report,
    signal,
  );
  try {
    if (adapter) await session.importParameters(adapter.content.tensors);
  } catch (error) {
    session.dispose();
    throw error;
  }
  return new TextGenerator(model, session, batchSize, maxLength);
}

/** The token ids that a model is asked with. Throws `bad-config` where the model has no tokenizer for text. */
export function promptIds(model: Pick<HubModel, 'name' | 'tokenizer' | 'template'>, prompt: Prompt): readonly number[] {
  if (prompt.kind === 'tokens') return prompt.ids;
  const { tokenizer, template } = model;
  if (!tokenizer || !template) {
    throw new GraftError(
      'bad-config',
      `${model.name} has no tokenizer.json, so it can't read text: give it input_ids.`,
    );
  }
  if (prompt.kind === 'text') return tokenizer.encode(prompt.text, { addSpecialTokens: true });
  // The template has the special tokens already; the same call renders the prompts of training.
  return tokenizer.encode(renderPrompt(prompt, template), { addSpecialTokens: false });
}

function renderPrompt(prompt: Conversation & { readonly where?: string }, template: ChatTemplate): string {
  try {
    return template.render(prompt, { addGenerationPrompt: true });
  } catch (error) {
    if (prompt.where === undefined || !(error instanceof GraftError)) throw error;
    throw new GraftError(error.code, `${prompt.where} can't be rendered: ${error.message}`, { cause: error });
  }
}

/**
 * A context that holds the longest of the prompts and its answer, in few sizes so that caches are shared. A prompt that
 * can't be asked has no length; asking it says why.
 */
export function contextFor(model: HubModel, prompts: readonly Prompt[], maxNewTokens: number): number {
  const lengthOf = (prompt: Prompt) => {
    try {
      return promptIds(model, prompt).length;
    } catch (error) {
      if (isAboutPrompt(error)) return 0;
      throw error;
    }
  };
  const longest = prompts.reduce((most, prompt) => Math.max(most, lengthOf(prompt)), 0);
  return Math.min(Math.ceil((longest + maxNewTokens) / CONTEXT_STEP) * CONTEXT_STEP, model.spec.maxPositions);
}

/** Whether an error says that one prompt can't be asked, and nothing of the others. */
function isAboutPrompt(error: unknown): error is GraftError {
  return error instanceof GraftError && ['bad-config', 'bad-data', 'unsupported'].includes(error.code);
}

export class TextGenerator {
  private readonly sampler: Sampler;

  constructor(
    private readonly model: HubModel,
    private readonly session: Session<{ readonly decode: DecodeViewOptions }>,
    private readonly batchSize: number,
    /** Tokens of prompt and answer together. */
    readonly contextLength: number,
  ) {
    this.sampler = new Sampler(model.spec.vocabSize);
  }

  /**
   * Answers one prompt; `onText` gets whole characters as they come.
   * @throws `bad-config` where the prompt fills the context, `cancelled`.
   */
  async generate(
    prompt: Prompt,
    options: GenerationOptions,
    onText: (piece: string) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<Generation> {
    const [generation] = await this.answer([this.open(prompt, options, options.seed, onText)], options, signal);
    return generation!;
  }

  /**
   * Answers many prompts, `batchSize` at a time; `onDone` gets each as it is ready, in order. `onRefused` gets what can't
   * be asked, as a prompt that is longer than the context, and the others go on; without it that is thrown.
   */
  async generateAll(
    prompts: readonly Prompt[],
    options: GenerationOptions,
    onDone: (generation: Generation, index: number) => void = () => undefined,
    signal?: AbortSignal,
    onRefused?: (error: GraftError, index: number) => void,
  ): Promise<Generation[]> {
    const done: Generation[] = [];
    for (let from = 0; from < prompts.length; from += this.batchSize) {
      const indices: number[] = [];
      const sequences: Sequence[] = [];
      prompts.slice(from, from + this.batchSize).forEach((prompt, i) => {
        try {
          // A prompt's draws don't depend on the prompts beside it.
          sequences.push(this.open(prompt, options, options.seed + from + i));
          indices.push(from + i);
        } catch (error) {
          if (!onRefused || !isAboutPrompt(error)) throw error;
          onRefused(error, from + i);
        }
      });
      const generations = await this.answer(sequences, options, signal);
      generations.forEach((generation, i) => {
        onDone(generation, indices[i]!);
        done.push(generation);
      });
    }
    return done;
  }

  dispose(): void {
    this.session.dispose();
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

  /** Decodes sequences side by side until each has ended. */
  private async answer(
    sequences: readonly Sequence[],
    options: GenerationOptions,
    signal?: AbortSignal,
  ): Promise<Generation[]> {
    throwIfCancelled(signal);
    let running = sequences.filter((sequence) => !sequence.finish);
    if (running.length > 0) {
      let slots = running;
      let logits = await this.prefill(slots, options.useAdapter);
      for (;;) {
        throwIfCancelled(signal);
        slots.forEach((sequence, i) => {
          const { vocabSize } = this.model.spec;
          if (sequence.finish) return;
          const scores = logits.subarray(i * vocabSize, (i + 1) * vocabSize);
          sequence.append(this.sampler.draw(scores, options, sequence.random, sequence.all));
        });
        running = slots.filter((sequence) => !sequence.finish);
        if (running.length === 0) break;
        // Ended sequences are decoded along. Where one of them would run out of context, the others start over.
        const full = slots.some((sequence) => sequence.cached >= this.contextLength);
        if (full) slots = running;
        logits = full
          ? await this.prefill(slots, options.useAdapter)
          : await this.session.views.decode.decode(slots.map((sequence) => sequence.advance()));
      }
    }
    return sequences.map((sequence) => sequence.generation());
  }

  private prefill(sequences: readonly Sequence[], useAdapter: boolean): Promise<Float32Array> {
    return this.session.views.decode.prefill(
      sequences.map((sequence) => sequence.restart()),
      useAdapter,
    );
  }
}

/** Stream of the counter-based generator that sampling draws from. */
const SAMPLING_STREAM = 0x5341_0000;

/** One prompt with its answer so far. */
class Sequence {
  /** Prompt and answer. */
  readonly all: number[];
  /** Tokens in the session's cache, those fed after the end included. */
  cached: number;
  finish: Generation['finish'] | undefined;
  private text = '';

  constructor(
    private readonly prompt: readonly number[],
    private readonly most: number,
    private readonly stops: ReadonlySet<number>,
    private readonly stream: TextStream | undefined,
    readonly random: Random,
    private readonly onText: (piece: string) => void = () => undefined,
  ) {
    this.all = [...prompt];
    this.cached = prompt.length;
    if (most <= 0) this.finish = 'length';
  }

  /** Appends the token that was drawn, or ends where it is a stop token. */
  append(id: number): void {
    if (this.stops.has(id)) return this.end('end-of-turn');
    this.all.push(id);
    this.say(this.stream?.push(id));
    if (this.stream?.stopped) this.end('stop-text');
    else if (this.all.length - this.prompt.length >= this.most) this.end('length');
  }

  /** All tokens so far, for an empty cache. */
  restart(): readonly number[] {
    this.cached = this.all.length;
    return this.all;
  }

  /** The token that the cache lacks; for a sequence that has ended, any. */
  advance(): number {
    const id = this.all[this.cached] ?? this.all.at(-1)!;
    this.cached++;
    return id;
  }

  generation(): Generation {
    return {
      text: this.text,
      ids: this.all.slice(this.prompt.length),
      promptTokens: this.prompt.length,
      finish: this.finish ?? 'length',
    };
  }

  private end(finish: Generation['finish']): void {
    this.say(this.stream?.finish());
    this.finish = finish;
  }

  private say(piece: string | undefined): void {
    if (!piece) return;
    this.text += piece;
    this.onText(piece);
  }
}
