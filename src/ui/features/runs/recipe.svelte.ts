/** The run file: the settings of the next run, as the page's fields and as YAML. */
import { formatRunConfig, parseRunConfig, type RunConfig } from '../../../core/config';
import { plainError, type PlainError } from '../../../core/errors';
import { isText, loadSetting, saveSetting } from '../../persisted';
import quickstart from './quickstart.yaml?raw';

const SETTING = 'run';
const TOUCHED = 'run-own';
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';

/** For a model of the user's disk. */
export const DEFAULTS = parseRunConfig('');
/** For a model on the Hub, which is mostly larger than people expect: QLoRA. */
export const HUB_DEFAULTS = parseRunConfig('load_in_4bit: true');

export class RecipeState {
  /** Checked at all times: a change that is refused leaves it as it was. */
  config = $state.raw<RunConfig>(parseRunConfig(''));
  /** What is wrong with the last change, by key; `file` for a run file. */
  errors = $state.raw<Partial<Record<keyof RunConfig | 'file', PlainError>>>({});

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

  /** Changes one setting; returns false and says why where the value is refused. */
  set<K extends keyof RunConfig>(key: K, value: RunConfig[K]): boolean {
    try {
      this.apply(parseRunConfig(formatRunConfig({ ...this.config, [key]: value }), {}, 'This setting'));
      this.touch(true);
      this.clear(key);
      return true;
    } catch (error) {
      this.errors = { ...this.errors, [key]: plainError(error) };
      return false;
    }
  }

  /** Changes one setting to what its text means in a run file; an empty text takes it out. */
  setText(key: keyof RunConfig, text: string): boolean {
    if (text.trim() === '') return this.set(key, undefined);
    try {
      return this.set(key, parseRunConfig('', { [key]: text }, 'This setting')[key]);
    } catch (error) {
      this.errors = { ...this.errors, [key]: plainError(error) };
      return false;
    }
  }

  /** Changes several settings at once; returns false and leaves all as they were where one is refused. */
  change(settings: Partial<RunConfig>): boolean {
    return this.load(formatRunConfig({ ...this.config, ...settings }), 'The settings');
  }

  /** Replaces all settings by those of a run file; returns false and says why where it is refused. */
  load(yaml: string, name = 'run.yaml'): boolean {
    try {
      this.apply(parseRunConfig(yaml, {}, name));
      this.touch(true);
      this.errors = {};
      return true;
    } catch (error) {
      this.errors = { ...this.errors, file: plainError(error) };
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

  private clear(key: keyof RunConfig): void {
    this.errors = Object.fromEntries(Object.entries(this.errors).filter(([name]) => name !== key));
  }
}
