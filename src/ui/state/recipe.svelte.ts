/** The run file: the settings of the next run, as the page's fields and as YAML. */
import { formatRunConfig, parseRunConfig, type RunConfig } from '../../core/config';
import type { PlainError } from '../../core/events';
import { toPlainError } from '../client/errors';
import { isText, loadSetting, saveSetting } from './persisted';

/** The recipe for the starter on the policy pairs: one file for the page, the demo and the command line. */
const QUICKSTART_URL = 'recipes/quickstart.yaml';
const SETTING = 'run';

export class RecipeState {
  /** Checked at all times: a change that is refused leaves it as it was. */
  config = $state.raw<RunConfig>(parseRunConfig(''));
  /** What is wrong with the last change, by key; `file` for a run file. */
  errors = $state.raw<Partial<Record<keyof RunConfig | 'file', PlainError>>>({});

  private touched = false;

  async restore(): Promise<void> {
    const saved = loadSetting<string | null>(SETTING, null, isText);
    if (saved !== null && this.load(saved)) return;
    await this.useQuickstart();
  }

  /** Loads the recipe that suits the built-in starter. */
  async useQuickstart(): Promise<void> {
    const response = await fetch(QUICKSTART_URL); // relative to the page
    if (!response.ok)
      throw new Error(`The quick-start recipe could not be loaded (${response.status}): reload the page.`);
    this.load(await response.text(), 'quickstart.yaml');
    this.touched = false;
  }

  /** The defaults, which suit larger models; settings that the user has changed stay. */
  useDefaultsUnlessTouched(): void {
    if (!this.touched) this.apply(parseRunConfig(''));
  }

  /** Changes one setting; returns false and says why where the value is refused. */
  set<K extends keyof RunConfig>(key: K, value: RunConfig[K]): boolean {
    try {
      this.apply(parseRunConfig(formatRunConfig({ ...this.config, [key]: value }), {}, 'This setting'));
      this.touched = true;
      this.clear(key);
      return true;
    } catch (error) {
      this.errors = { ...this.errors, [key]: toPlainError(error) };
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
      this.touched = true;
      this.errors = {};
      return true;
    } catch (error) {
      this.errors = { ...this.errors, file: toPlainError(error) };
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

  private clear(key: keyof RunConfig): void {
    this.errors = Object.fromEntries(Object.entries(this.errors).filter(([name]) => name !== key));
  }
}
