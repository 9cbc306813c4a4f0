/** How answers are drawn; survives a reload. */
import { loadSetting, saveSetting } from '../../persisted';

export interface Sampling {
  /** 0 takes the likeliest token each time. */
  temperature: number;
  topP: number;
  /** 0 draws from all tokens. */
  minP: number;
  /** 1 changes nothing. */
  repetitionPenalty: number;
  maxNewTokens: number;
  seed: number;
  /** Texts that end an answer, one a line. */
  stop: string;
}

const DEFAULTS: Sampling = {
  temperature: 0.7,
  topP: 0.9,
  minP: 0,
  repetitionPenalty: 1,
  maxNewTokens: 128,
  seed: 1,
  stop: '',
};
const SETTING = 'sampling';

export class SamplingState {
  values = $state<Sampling>({ ...DEFAULTS, ...loadSetting(SETTING, {}, isSampling) });

  save(): void {
    saveSetting(SETTING, this.values);
  }

  /** The values as the worker takes them: an emptied field counts as its default. */
  get resolved(): Omit<Sampling, 'stop'> & { stop: string[] } {
    const { temperature, topP, minP, repetitionPenalty, maxNewTokens, seed, stop } = this.values;
    return {
      temperature,
      topP,
      minP,
      repetitionPenalty,
      maxNewTokens: Math.max(1, Math.floor(maxNewTokens || DEFAULTS.maxNewTokens)),
      seed: Math.floor(seed || 0) >>> 0,
      stop: stop.split('\n').filter((text) => text !== ''),
    };
  }
}

/** What was kept may be older than some of the values. */
function isSampling(value: unknown): value is Partial<Sampling> {
  if (typeof value !== 'object' || value === null) return false;
  const entries = value as Record<string, unknown>;
  return Object.entries(DEFAULTS).every(
    ([key, fallback]) => !(key in entries) || typeof entries[key] === typeof fallback,
  );
}
