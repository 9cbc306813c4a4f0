/** Light, dark, or as the system says; survives a reload. */
import { loadSetting, saveSetting } from '../persisted';

export type Theme = 'system' | 'light' | 'dark';

const SETTING = 'theme';

export class ThemeState {
  choice = $state<Theme>(loadSetting<Theme>(SETTING, 'system', isTheme));
  /** Whether the page is dark now, whoever decided it. */
  dark = $state(false);

  constructor() {
    const system = matchMedia('(prefers-color-scheme: dark)');
    const apply = () => (this.dark = this.choice === 'dark' || (this.choice === 'system' && system.matches));
    system.addEventListener('change', apply);
    apply();
    this.show();
  }

  set(choice: Theme): void {
    this.choice = choice;
    saveSetting(SETTING, choice);
    this.dark = choice === 'dark' || (choice === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
    this.show();
  }

  /** The style sheet reads the attribute; `color-scheme` follows from it, and every `light-dark()` from that. */
  private show(): void {
    document.documentElement.dataset['theme'] = this.choice;
  }
}

function isTheme(value: unknown): value is Theme {
  return value === 'system' || value === 'light' || value === 'dark';
}

/** The page has one theme. */
export const theme = new ThemeState();
