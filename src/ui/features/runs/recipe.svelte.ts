/** The run file: the settings of the next run, as the page's fields and as YAML. */
import { formatRunConfig, parseRunConfig, readRunValue, type RunConfig, type RunConfigKey } from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import { isText, loadSetting, saveSetting } from '../../persisted';
import { readPercent } from './settings';
import quickstart from './quickstart.yaml?raw';

const SETTING = 'run';
const TOUCHED = 'run-own';
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';

/** For a model of the user's disk. */
export const DEFAULTS = parseRunConfig('');
/** For a model on the Hub, which is mostly larger than people expect: QLoRA. */
export const HUB_DEFAULTS = parseRunConfig('load_in_4bit: true');
/** For the built-in starter on the policy pairs. */
export const QUICKSTART = parseRunConfig(quickstart, {}, 'quickstart.yaml');

/** What a field holds that was refused, as it was typed, and why. */
export interface RefusedText {
  readonly typed: string;
  readonly error: PlainError;
}

export class RecipeState {
  /** Checked at all times: a change that is refused leaves it as it was. */
  config = $state.raw<RunConfig>(parseRunConfig(''));
  /** Fields that hold something else than the settings have: nothing is trained before they are put right. */
  refused = $state.raw<Partial<Record<RunConfigKey, RefusedText>>>({});
  /** What is wrong with the run file that was given last. */
  fileError = $state.raw<PlainError>();
  /** The run file as it is being edited, until it is taken or the edit undone. */
  editedFile = $state<string>();

  private touched = $state(false);

  restore(): void {
    const saved = loadSetting<string | null>(SETTING, null, isText);
    const touched = loadSetting(TOUCHED, true, isFlag);
    if (saved === null || !this.load(saved)) return this.useQuickstart();
    this.touch(touched);
  }

  /** Loads the recipe that suits the built-in starter. */
  useQuickstart(): void {
    this.load(quickstart, 'quickstart.yaml');
    this.touch(false);
  }

  /** What suits a model better than the starter's recipe; settings that the user has changed stay. */
  useUnlessTouched(config: RunConfig): void {
    this.apply(this.unlessTouched(config));
  }

  /** The settings that the next run would have with a model for which `config` is right. */
  unlessTouched(config: RunConfig): RunConfig {
    return this.touched ? this.config : config;
  }

  /** Changes one setting. `value` is one that the setting may have. */
  set<K extends RunConfigKey>(key: K, value: RunConfig[K]): void {
    this.apply(parseRunConfig(formatRunConfig({ ...this.config, [key]: value })));
    this.touch(true);
    this.accept(key);
  }

  /**
   * Changes one setting to what was typed for it, read as on a command line; an empty text takes out what may be absent.
   * Returns false where it is refused: the setting stays, and `refused` has the text with the reason.
   */
  setText(key: RunConfigKey, typed: string): boolean {
    try {
      this.set(key, readRunValue(key, readPercent(key, typed)));
      return true;
    } catch (error) {
      this.refused = { ...this.refused, [key]: { typed, error: plainError(error) } };
      return false;
    }
  }

  /** Changes several settings at once; returns false and leaves all as they were where one is refused. */
  change(settings: Partial<RunConfig>): boolean {
    const { refused } = this;
    if (!this.load(formatRunConfig({ ...this.config, ...settings }), 'The settings')) return false;
    this.refused = refused; // what was typed into other fields is still to be put right
    for (const key of Object.keys(settings)) this.accept(key as RunConfigKey);
    return true;
  }

  /** Replaces all settings by those of a run file; returns false and says why where it is refused. */
  load(yaml: string, name = 'run.yaml'): boolean {
    try {
      this.apply(parseRunConfig(yaml, {}, name));
      this.touch(true);
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

  private apply(config: RunConfig): void {
    this.config = config;
    saveSetting(SETTING, formatRunConfig(config));
  }

  /** Whether the settings are the user's own, or come with a model. */
  private touch(touched: boolean): void {
    this.touched = touched;
    saveSetting(TOUCHED, touched);
  }

  private accept(key: RunConfigKey): void {
    this.refused = Object.fromEntries(Object.entries(this.refused).filter(([name]) => name !== key));
  }
}
