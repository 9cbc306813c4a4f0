/**
 * What `generation_config.json` and config.json say of answering: hints, which training and planning don't need. What is
 * valid is taken, what isn't is said in a notice, and nothing in them keeps a model from opening.
 */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import type { FileSource } from '../core/store';
import { readObject, type JsonObject } from './json';

export const GENERATION_CONFIG = 'generation_config.json';

/** What `generation_config.json` suggests; absent where the model has no opinion. */
export interface GenerationConfig {
  readonly doSample?: boolean;
  /** 0 takes the likeliest token each time. */
  readonly temperature?: number;
  /** From 0 to 1; 1 draws from all tokens. */
  readonly topP?: number;
  /** 0 draws from all tokens. */
  readonly topK?: number;
  /** From 0 to 1; 0 draws from all tokens. */
  readonly minP?: number;
  /** 1 changes nothing; it holds whether answers are drawn or not. */
  readonly repetitionPenalty?: number;
  readonly maxNewTokens?: number;
}

export interface GenerationHints {
  readonly config: GenerationConfig;
  /** Ids that end an answer, each once. */
  readonly eosIds: readonly number[];
  /** A sentence for each value that can't be used. */
  readonly notices: readonly string[];
}

/** A rule of the value of a key, and how a sentence names it. */
interface Rule<T> {
  readonly expected: string;
  accepts(value: unknown): value is T;
}

const FLAG: Rule<boolean> = {
  expected: 'true or false',
  accepts: (value): value is boolean => typeof value === 'boolean',
};

function numberRule(expected: string, accepts: (value: number) => boolean): Rule<number> {
  return {
    expected,
    accepts: (value): value is number => typeof value === 'number' && Number.isFinite(value) && accepts(value),
  };
}

const FROM_0 = numberRule('a number, 0 or more', (value) => value >= 0);
const POSITIVE = numberRule('a number above 0', (value) => value > 0);
const SHARE = numberRule('a number from 0 to 1', (value) => value >= 0 && value <= 1);
const COUNT = numberRule('a whole number, 0 or more', (value) => Number.isInteger(value) && value >= 0);
const ABOVE_0 = numberRule('a whole number above 0', (value) => Number.isInteger(value) && value > 0);

/** The hints of a folder; `modelConfig` is its config.json, and ids from `vocabSize` on are none of the model's. */
export async function readGenerationHints(
  source: FileSource,
  modelConfig: JsonObject | undefined,
  vocabSize: number,
): Promise<GenerationHints> {
  const notices: string[] = [];
  const file = await readHints(source, notices);
  const readHint = <T>(key: string, rule: Rule<T>): T | undefined => {
    const value = file?.get(key);
    if (value === undefined || rule.accepts(value)) return value;
    notices.push(notice(GENERATION_CONFIG, key, value, `it must be ${rule.expected}`));
    return undefined;
  };
  const read: { [key in keyof GenerationConfig]: GenerationConfig[key] | undefined } = {
    doSample: readHint('do_sample', FLAG),
    temperature: readHint('temperature', FROM_0),
    topP: readHint('top_p', SHARE),
    topK: readHint('top_k', COUNT),
    minP: readHint('min_p', SHARE),
    repetitionPenalty: readHint('repetition_penalty', POSITIVE),
    maxNewTokens: readHint('max_new_tokens', ABOVE_0),
  };
  const eosIds = [file, modelConfig].flatMap((config) => (config ? endIds(config, vocabSize, notices) : []));
  return {
    config: Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined)),
    eosIds: [...new Set(eosIds)],
    notices,
  };
}

async function readHints(source: FileSource, notices: string[]): Promise<JsonObject | undefined> {
  try {
    return await readObject(source, GENERATION_CONFIG);
  } catch (error) {
    if (!(error instanceof GraftError) || error.code !== 'bad-file') throw error;
    notices.push(`${error.message} The model opens without its hints for answering.`);
    return undefined;
  }
}

/** The usable ids of `eos_token_id`, which is one id or a list of them. */
function endIds(config: JsonObject, vocabSize: number, notices: string[]): number[] {
  const value = config.get('eos_token_id');
  if (value === undefined) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const isId = (id: unknown): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0;
  const ids = list.filter(isId);
  if (ids.length < list.length) {
    notices.push(notice(config.where, 'eos_token_id', value, 'it must be a token id or a list of them'));
  }
  const strangers = ids.filter((id) => id >= vocabSize);
  if (strangers.length > 0) {
    notices.push(notice(config.where, 'eos_token_id', value, `the model has only ${vocabSize} tokens`));
  }
  return ids.filter((id) => id < vocabSize);
}

function notice(file: string, key: string, value: unknown, why: string): string {
  return `${file}: ${key} is ${quote(value)}, but ${why}; it is left out.`;
}
