/** How answers are drawn: as the model suggests, but for what the visitor has changed, which survives a reload. */
import type { SamplingHints } from '../../../protocol/prompts';
import { loadSetting, saveSetting } from '../../persisted';

export interface Sampling {
  /** 0 takes the likeliest token each time. */
  temperature: number;
  topP: number;
  /** 0 draws from all tokens. */
  topK: number;
  /** 0 draws from all tokens. */
  minP: number;
  /** 1 changes nothing. */
  repetitionPenalty: number;
  maxNewTokens: number;
  seed: number;
  /** Texts that end an answer, one a line. */
  stop: string;
}

export type SamplingKey = keyof Sampling;

/** Where the model has no opinion. */
const DEFAULTS: Sampling = {
  temperature: 0.7,
  topP: 0.9,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  maxNewTokens: 256,
  seed: 1,
  stop: '',
};

/** Earlier pages kept every value, changed or not: one that equals its default of then was not chosen. */
const FORMER_DEFAULTS: Sampling = { ...DEFAULTS, maxNewTokens: 128 };

const FORMER_SETTING = 'sampling';
const SETTING = 'sampling-changes';

export class SamplingState {
  /** What the model suggests; nothing until it is asked. */
  hints = $state.raw<SamplingHints>({});
  /** What the visitor has changed. */
  changes = $state.raw<Partial<Sampling>>(loadChanges());
  /** Fields that hold what they can't have, and why: nothing is asked before they are put right. */
  refused = $state<Partial<Record<SamplingKey, string>>>({});

  get values(): Sampling {
    return { ...DEFAULTS, ...this.hints, ...this.changes };
  }

  get refusal(): string | undefined {
    return Object.values(this.refused).find((reason) => reason !== undefined);
  }

  isChanged(key: SamplingKey): boolean {
    return key in this.changes;
  }

  get hasChanges(): boolean {
    return Object.keys(this.changes).length > 0;
  }

  /** Changes a value; what the model suggests itself is no change. */
  set<K extends SamplingKey>(key: K, value: Sampling[K]): void {
    const rest = Object.fromEntries(Object.entries(this.changes).filter(([name]) => name !== key));
    const suggested = { ...DEFAULTS, ...this.hints }[key];
    this.changes = value === suggested ? rest : { ...rest, [key]: value };
    saveSetting(SETTING, this.changes);
  }

  /** Back to what the model suggests. */
  reset(): void {
    this.changes = {};
    this.refused = {};
    saveSetting(SETTING, {});
  }

  /** The values as the worker takes them. */
  get resolved(): Omit<Sampling, 'stop'> & { stop: string[] } {
    const { stop, ...values } = this.values;
    return { ...values, stop: stop.split('\n').filter((text) => text !== '') };
  }

  /** In a line: whose the values are, and which were changed. */
  get summary(): string {
    const { temperature, topP } = this.values;
    const own = 'temperature' in this.hints ? "the model's own" : 'the usual';
    const name = (key: SamplingKey, words: string) => (this.isChanged(key) ? `${words} (changed)` : words);
    const others = Object.keys(this.changes).filter((key) => key !== 'temperature' && key !== 'topP').length;
    const words = [name('temperature', `temperature ${temperature}`), name('topP', `top-p ${topP}`)];
    return `${own}: ${[...words, ...(others > 0 ? [`${others} more changed`] : [])].join(', ')}`;
  }
}

function loadChanges(): Partial<Sampling> {
  const former = loadSetting(FORMER_SETTING, {}, isSampling);
  const chosen = Object.entries(former).filter(([key, value]) => value !== FORMER_DEFAULTS[key as SamplingKey]);
  return loadSetting<Partial<Sampling>>(SETTING, Object.fromEntries(chosen), isSampling);
}

/** What was kept may be older than some of the values. */
function isSampling(value: unknown): value is Partial<Sampling> {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).every(
    ([key, kept]) => key in DEFAULTS && typeof kept === typeof DEFAULTS[key as SamplingKey],
  );
}
