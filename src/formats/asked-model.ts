/** The part of a model that turns conversations into text, and how another chat template takes its place there. */
import type { ChatTemplate } from '../core/text';
import type { HubTokenizer } from './tokenizer';
import { findTurnEnd } from './turn-end';

/** A `HubModel` is one. */
export interface AskedModel {
  readonly tokenizer: HubTokenizer | undefined;
  readonly template: ChatTemplate | undefined;
}

/** The model asked through this template, whose end of a turn then stops generation; without a tokenizer as it is. */
export function askThrough<M extends AskedModel>(model: M, template: ChatTemplate): M {
  const { tokenizer } = model;
  if (!tokenizer) return model;
  return { ...model, template, tokenizer: tokenizer.withStopToken(findTurnEnd(tokenizer, template)) };
}
