/** The room that a chat with a run in training takes beside it. */
import type { RunConfig } from '../../core/config';
import type { DecoderSpec } from '../../core/spec';
import type { DecodeViewOptions } from '../../engine';
import { virtualTokensOf } from './prompt-tuning';

/**
 * Tokens of question and answer together: a quarter of what a chat by itself has, as here the cache stands beside all that
 * training needs. It comes to about a tenth of a run on most small models, and to a fifth where heads are many and wide.
 */
const CONTEXT = 512;

/** Slots of the cache: one for each side of a conversation. Where every parameter is trained, there is no base model to ask. */
export function talkSize(
  run: Pick<RunConfig, 'use_peft' | 'peft_type' | 'num_virtual_tokens'>,
  { maxPositions }: DecoderSpec,
): DecodeViewOptions {
  return { batchSize: run.use_peft ? 2 : 1, maxLength: Math.min(CONTEXT, maxPositions - virtualTokensOf(run)) };
}
