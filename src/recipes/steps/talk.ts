/** The room that a chat with a run in training takes beside it. */
import type { RunConfig } from '../../core/config';
import type { DecoderSpec } from '../../core/spec';
import type { DecodeViewOptions } from '../../engine';

/**
 * Tokens of question and answer together: half of what a chat by itself has, as here the cache stands beside all that
 * training needs.
 */
const CONTEXT = 1024;

/** Slots of the cache: one for each side of a conversation. Where every parameter is trained, there is no base model to ask. */
export function talkSize(run: Pick<RunConfig, 'use_peft'>, { maxPositions }: DecoderSpec): DecodeViewOptions {
  return { batchSize: run.use_peft ? 2 : 1, maxLength: Math.min(CONTEXT, maxPositions) };
}
