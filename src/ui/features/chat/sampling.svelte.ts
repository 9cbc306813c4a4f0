/** How answers are drawn; survives a reload. */
import { loadSetting, saveSetting } from '../../persisted';

export interface Sampling {
  /** 0 takes the likeliest token each time. */
  temperature: number;
  topP: number;
  maxNewTokens: number;
  seed: number;
  /** Texts that end an answer, one a line. */
  stop: string;
}

const DEFAULTS: Sampling = { temperature: 0.7, topP: 0.9, maxNewTokens: 128, seed: 1, stop: '' };
const SETTING = 'sampling';

export class SamplingState {
  values = $state<Sampling>(loadSetting(SETTING, DEFAULTS, isSampling));

  save(): void {
    saveSetting(SETTING, this.values);
  }

  /** The values as the worker takes them: an emptied field counts as its default. */
  get resolved(): Omit<Sampling, 'stop'> & { stop: string[] } {
    const { temperature, topP, maxNewTokens, seed, stop } = this.values;
    return {
      temperature,
      topP,
      maxNewTokens: Math.max(1, Math.floor(maxNewTokens || DEFAULTS.maxNewTokens)),
      seed: Math.floor(seed || 0) >>> 0,
      stop: stop.split('\n').filter((text) => text !== ''),
    };
  }
}

function isSampling(value: unknown): value is Sampling {
  if (typeof value !== 'object' || value === null) return false;
  const entries = value as Record<string, unknown>;
  return Object.entries(DEFAULTS).every(([key, fallback]) => typeof entries[key] === typeof fallback);
}
