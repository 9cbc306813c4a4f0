/**
 * The settings of the next run: a preset's, which follow the model and the data, and on top of them what was set by
 * hand, which stays. As the page's fields, and as YAML.
 */
import {
  formatRunConfig,
  parseRunConfig,
  readRunValue,
  RUN_CONFIG_KEYS,
  type RunConfig,
  type RunConfigKey,
} from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import { isFlag, isText, loadTabSetting, saveTabSetting } from '../../persisted';
import { PRESETS, presetSettings, type PresetFacts, type PresetName, type PresetSettings } from './presets';
import { diffSettings, type Difference } from './settings-diff';
import { TRAINING_KEYS } from './settings';
import quickstart from './quickstart.yaml?raw';

const SETTING = 'run';
const EDITED = 'run-edited';
const PRESET = 'run-preset';
/** Of earlier versions, which knew only whether any setting was the user's own. */
const TOUCHED = 'run-own';

const isPreset = (value: unknown): value is PresetName => PRESETS.some((name) => name === value);
const isKeys = (value: unknown): value is RunConfigKey[] =>
  Array.isArray(value) && value.every((key) => typeof key === 'string' && Object.hasOwn(RUN_CONFIG_KEYS, key));

/** For the built-in starter on the policy pairs. */
export const QUICKSTART = parseRunConfig(quickstart, {}, 'quickstart.yaml');

const DEFAULTS = parseRunConfig('');

/** What a field holds that was refused, as it was typed, and why. */
export interface RefusedText {
  readonly typed: string;
  readonly error: PlainError;
}

/** What a preset is asked for: all but what a setting says. */
export type DraftFacts = Omit<PresetFacts, 'usesAdapter'>;

/** What was chosen and set by hand, to be put back later. */
export interface Choices {
  readonly preset: PresetName;
  readonly edits: Partial<RunConfig>;
}

export class RecipeState {
  preset = $state<PresetName>('balanced');
  /** Fields that hold something else than the settings have: nothing is trained before they are put right. */
  refused = $state.raw<Partial<Record<RunConfigKey, RefusedText>>>({});
  /** What is wrong with the run file that was given last. */
  fileError = $state.raw<PlainError>();
  /** The run file as it is being edited, until it is taken or the edit undone. */
  editedFile = $state<string>();

  /** What was set by hand, or by a run file. It stays, whatever model and data are chosen. */
  private edits = $state.raw<Partial<RunConfig>>({});

  /** Checked at all times: a change that is refused leaves it as it was. */
  readonly config = $derived.by((): RunConfig => this.configFor(this.facts()));

  /** @param facts what the presets depend on: the model and the data that are chosen now */
  constructor(private readonly facts: () => DraftFacts) {}

  restore(): void {
    const saved = loadTabSetting<string | null>(SETTING, null, isText);
    this.preset = loadTabSetting(PRESET, 'balanced', isPreset);
    const allKeys = loadTabSetting(TOUCHED, true, isFlag) ? (Object.keys(RUN_CONFIG_KEYS) as RunConfigKey[]) : [];
    const edited = loadTabSetting(EDITED, allKeys, isKeys);
    try {
      if (saved !== null) this.edits = pick(parseRunConfig(saved), edited);
    } catch {
      this.edits = {}; // of another version, or damaged
    }
  }

  /** The settings that the next run would have on another model or other data. */
  configFor(facts: DraftFacts): RunConfig {
    return { ...DEFAULTS, ...this.settingsOf(this.preset, facts), ...this.edits };
  }

  /** What a preset makes of the model and the data that are chosen. */
  settingsOf(preset: PresetName, facts = this.facts()): PresetSettings {
    return presetSettings(preset, { ...facts, usesAdapter: this.edits.use_peft ?? DEFAULTS.use_peft });
  }

  /** What was set by hand other than the chosen preset has it. */
  get differences(): Difference[] {
    const { config } = this;
    const differences = diffSettings({ ...DEFAULTS, ...this.settingsOf(this.preset) }, config);
    return differences.filter(({ key }) => TRAINING_KEYS.has(key));
  }

  /** What was set by hand stays. */
  choose(preset: PresetName): void {
    this.use({ preset, edits: this.edits });
  }

  /** Gives up what was set by hand of the settings that say how it is trained. */
  usePresetAlone(): void {
    const kept = Object.entries(this.edits).filter(([key]) => !TRAINING_KEYS.has(key as RunConfigKey));
    this.use({ preset: this.preset, edits: Object.fromEntries(kept) });
    this.refused = Object.fromEntries(
      Object.entries(this.refused).filter(([key]) => !TRAINING_KEYS.has(key as RunConfigKey)),
    );
  }

  get choices(): Choices {
    return { preset: this.preset, edits: this.edits };
  }

  use({ preset, edits }: Choices): void {
    this.preset = preset;
    this.edits = edits;
    saveTabSetting(SETTING, formatRunConfig(this.config));
    saveTabSetting(EDITED, Object.keys(edits));
    saveTabSetting(PRESET, preset);
  }

  /** Changes one setting. `value` is one that the setting may have. */
  set<K extends RunConfigKey>(key: K, value: RunConfig[K]): void {
    this.edit({ [key]: value });
    this.accept(key);
  }

  /**
   * Changes one setting to what was typed for it, read as on a command line; an empty text takes out what may be absent.
   * Returns false where it is refused: the setting stays, and `refused` has the text with the reason.
   */
  setText(key: RunConfigKey, typed: string): boolean {
    try {
      this.set(key, readRunValue(key, typed));
      return true;
    } catch (error) {
      this.refused = { ...this.refused, [key]: { typed, error: plainError(error) } };
      return false;
    }
  }

  /** Changes several settings at once; returns false and leaves all as they were where one is refused. */
  change(settings: Partial<RunConfig>): boolean {
    try {
      this.edit(settings);
    } catch (error) {
      this.fileError = plainError(error);
      return false;
    }
    for (const key of Object.keys(settings)) this.accept(key as RunConfigKey);
    return true;
  }

  /** Replaces all settings by those of a run file, as if each had been set; returns false and says why where it is refused. */
  load(yaml: string, name = 'run.yaml'): boolean {
    try {
      this.use({ preset: this.preset, edits: withoutAbsent(parseRunConfig(yaml, {}, name)) });
      this.refused = {};
      this.fileError = undefined;
      return true;
    } catch (error) {
      this.fileError = plainError(error);
      return false;
    }
  }

  get yaml(): string {
    return formatRunConfig(this.config);
  }

  /** @throws `bad-config` */
  private edit(settings: Partial<RunConfig>): void {
    const checked = parseRunConfig(formatRunConfig({ ...this.config, ...settings }), {}, 'The settings');
    const kept = Object.entries(this.edits).filter(([key]) => !Object.hasOwn(settings, key));
    const edits = { ...Object.fromEntries(kept), ...pick(checked, Object.keys(settings) as RunConfigKey[]) };
    this.use({ preset: this.preset, edits });
  }

  private accept(key: RunConfigKey): void {
    this.refused = Object.fromEntries(Object.entries(this.refused).filter(([name]) => name !== key));
  }
}

function pick(config: RunConfig, keys: readonly RunConfigKey[]): Partial<RunConfig> {
  return withoutAbsent(Object.fromEntries(keys.map((key) => [key, config[key]])));
}

/** What may be absent, and is, is as it is without having been set. */
function withoutAbsent(settings: Partial<RunConfig>): Partial<RunConfig> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
