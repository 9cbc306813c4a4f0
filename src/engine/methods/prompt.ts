/**
 * Prompt tuning: virtual tokens before every sequence, whose embeddings alone are trained (Lester et al. 2021,
 * arXiv:2104.08691). They are tokens past the vocabulary, and their embeddings rows past those of the table: to
 * everything else a sequence with them is a longer one.
 */
import { promptParameter, PROMPT_EMBEDDINGS, type PromptSpec } from '../../core/adapter';
import { elementCount } from '../../core/dtypes';
import { Random } from '../../core/rng';
import { EMBEDDING, type DecoderSpec } from '../../core/spec';
import { accumulate } from '../ops/accumulate';
import { embedding } from '../ops/embedding';
import { full } from './full';
import type { Method } from './method';

export function promptMethod(spec: DecoderSpec, prompt: PromptSpec): Method {
  const parameter = promptParameter(spec, prompt);
  const { initTokens } = prompt;
  const random: Pick<Method, 'initialValues'> = {
    /** PEFT's initial values, those of PyTorch's embeddings: drawn from the standard normal distribution. */
    initialValues(seed) {
      const draws = new Random(seed);
      return new Map([[PROMPT_EMBEDDINGS, new Float32Array(elementCount(parameter.shape)).map(() => draws.normal())]]);
    },
  };
  const ofText: Pick<Method, 'initialize'> = {
    initialize(graph, leaves) {
      const ids = leaves.tokenIds(PROMPT_EMBEDDINGS);
      const rows = leaves.adapter(PROMPT_EMBEDDINGS, parameter.shape);
      accumulate(graph, embedding(graph, ids, leaves.original(EMBEDDING)), rows);
    },
  };
  return {
    ...full,
    parameters: [parameter],
    trainsModel: false,
    virtualTokens: parameter,
    ...(initTokens ? { ...ofText, tokenIds: new Map([[PROMPT_EMBEDDINGS, initTokens]]) } : random),
  };
}
