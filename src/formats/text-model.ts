/** The part of a model folder that turns conversations into tokens: tokenizer and chat template, without weights. */
import { GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import type { ChatTemplate } from '../core/text';
import { refuseAdapter } from './adapter-folder';
import { askThrough, type AskedModel } from './asked-model';
import { readGenerationHints } from './generation-config';
import { hubLayout } from './gguf';
import { readObject, type JsonObject } from './json';
import { chatTemplate, openTemplate } from './template';
import { openTokenizer, type HubTokenizer } from './tokenizer';

export interface HubText {
  readonly name: string;
  readonly tokenizer: HubTokenizer;
  /** The model's chat template, or the Alpaca fallback. */
  readonly template: ChatTemplate;
  /** Of config.json, else of the tokenizer. */
  readonly vocabSize: number;
  /** Tokens that the model can read; Infinity where no config.json says it. */
  readonly maxPositions: number;
  /** What of the folder's hints can't be used, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * Opens tokenizer and template of a model folder, or of a GGUF file in one. Weights are not needed, and a config.json
 * only where there is one: the tokenizer's files alone are enough.
 * @throws `not-found` without a tokenizer.json; `bad-file`, `bad-config`, `unsupported` for one that can't be used.
 */
export async function openTextModel(folder: FileSource): Promise<HubText> {
  const source = await hubLayout(folder);
  const notices: string[] = [];
  const config = await readShape(source, notices);
  const vocabSize = wholeNumber(config, 'vocab_size');
  const hints = await readGenerationHints(source, config, vocabSize ?? Infinity);
  const text = await openText(source, hints.eosIds);
  if (!text) {
    await refuseAdapter(source);
    throw new GraftError(
      'not-found',
      `${source.name} has no tokenizer.json: put the one of the model beside its other files.`,
    );
  }
  return {
    name: source.name,
    ...text,
    vocabSize: vocabSize ?? text.tokenizer.vocabSize,
    maxPositions: wholeNumber(config, 'max_position_embeddings') ?? Infinity,
    notices: [...notices, ...hints.notices],
  };
}

/** Tokenizer and template of a folder in Hub layout; undefined where it has no tokenizer.json. */
export async function openText(
  source: FileSource,
  eosIds: readonly number[],
): Promise<{ tokenizer: HubTokenizer; template: ChatTemplate } | undefined> {
  const tokenizer = await openTokenizer(source, eosIds);
  if (!tokenizer) return undefined;
  const template = await openTemplate(source, tokenizer);
  return askThrough({ tokenizer, template }, template);
}

/**
 * The same model asked through another chat template; `source` is what messages call it.
 * @throws `bad-config` for a template that can't be compiled
 */
export function withChatTemplate<M extends AskedModel>(model: M, source: string, text: string): M {
  const { tokenizer } = model;
  return tokenizer ? askThrough(model, chatTemplate(source, text, tokenizer.specialTokens)) : model;
}

/** What config.json says of the language model; models that also see keep it in `text_config`. */
async function readShape(source: FileSource, notices: string[]): Promise<JsonObject | undefined> {
  try {
    const config = await readObject(source, 'config.json');
    return config?.object('text_config') ?? config;
  } catch (error) {
    if (!(error instanceof GraftError) || !['bad-file', 'bad-config'].includes(error.code)) throw error;
    notices.push(`${error.message} Tokenizer and template are used without it.`);
    return undefined;
  }
}

function wholeNumber(config: JsonObject | undefined, key: string): number | undefined {
  const value = config?.get(key);
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined;
}
