/** An answer as it comes, token by token. */
import type { Random } from '../../core/rng';
import type { SamplingOptions } from './sampling';
import type { TextStream } from './text-stream';

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

/** Stream of the counter-based generator that sampling draws from. */
export const SAMPLING_STREAM = 0x5341_0000;

/** One prompt with its answer so far. */
export class Sequence {
  /** Prompt and answer. */
  readonly all: number[];
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
