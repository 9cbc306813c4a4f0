/** How a model answers in Ollama unless a request says otherwise: stops, sampling and the length of the context. */
import type { GenerationConfig } from '../generation-config';
import type { HubTokenizer } from '../tokenizer';
import { parameter, type Instruction } from './modelfile';

/** Tokens that a conversation gets room for: more takes memory, and whoever has it raises the number. */
const USUAL_CONTEXT = 8192;

export interface AnsweringOptions {
  readonly tokenizer: HubTokenizer | undefined;
  readonly generationConfig: GenerationConfig;
  /** Tokens that the model reads at most. */
  readonly maxPositions: number;
}

/** Everything that Ollama has a default of its own for is said, so that answers are drawn as Graft draws them. */
export function describeParameters({ tokenizer, generationConfig, maxPositions }: AnsweringOptions): Instruction[] {
  const {
    doSample,
    temperature = 1,
    topP = 1,
    topK = 0,
    minP = 0,
    repetitionPenalty = 1,
    maxNewTokens,
  } = generationConfig;
  const draws =
    doSample === true
      ? [
          parameter('temperature', temperature),
          parameter('top_p', topP),
          parameter('top_k', topK),
          parameter('min_p', minP),
        ]
      : [parameter('temperature', 0)];
  return [
    ...(tokenizer ? stopTexts(tokenizer).map((stop) => parameter('stop', stop)) : []),
    parameter('num_ctx', Math.min(maxPositions, USUAL_CONTEXT)),
    ...draws,
    // Of all that was said, as in Transformers: Ollama looks back over 64 tokens unless it is told otherwise.
    ...(repetitionPenalty === 1
      ? []
      : [parameter('repeat_last_n', -1), parameter('repeat_penalty', repetitionPenalty)]),
    ...(maxNewTokens === undefined ? [] : [parameter('num_predict', maxNewTokens)]),
  ];
}

/** The tokens that end an answer, as text. */
export function stopTexts(tokenizer: HubTokenizer): string[] {
  const texts = tokenizer.stopTokenIds.map((id) => tokenizer.decode([id], { skipSpecialTokens: false }));
  return [...new Set(texts.filter((text) => text.trim() !== ''))];
}
