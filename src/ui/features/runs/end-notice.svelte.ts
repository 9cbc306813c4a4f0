/** A notification when a run is over, for whoever has asked for one and looks at something else meanwhile. */
import { isFlag, loadSetting, saveSetting } from '../../persisted';

const SETTING = 'notify';

/** What the browser has for it. */
export interface Notifier {
  /** Undefined where there are no notifications. */
  permission(): NotificationPermission | undefined;
  ask(): Promise<NotificationPermission>;
  isPageVisible(): boolean;
  /** @throws where the browser shows none from a page, as on Android */
  show(title: string, body: string): void;
}

const BROWSER: Notifier = {
  permission: () => ('Notification' in globalThis ? Notification.permission : undefined),
  ask: () => Notification.requestPermission(),
  isPageVisible: () => document.visibilityState === 'visible',
  show(title, body) {
    const notification = new Notification(title, { body, tag: 'graft-run' });
    notification.onclick = () => {
      window.focus();
      notification.close();
    };
  },
};

export class EndNotice {
  private wanted = $state(loadSetting(SETTING, false, isFlag));
  private permission: NotificationPermission | undefined = $state();

  constructor(private readonly notifier: Notifier = BROWSER) {
    this.permission = notifier.permission();
  }

  /** Whether the browser has notifications at all. */
  get isAvailable(): boolean {
    return this.permission !== undefined;
  }

  get isOn(): boolean {
    return this.wanted && this.permission === 'granted';
  }

  /** It was asked for, and the browser won't. */
  get isRefused(): boolean {
    return this.wanted && this.permission === 'denied';
  }

  /** By a press alone: nothing else may make the browser ask. */
  async toggle(): Promise<void> {
    if (this.isOn) return this.want(false);
    this.want(true);
    this.permission = await this.notifier.ask().catch(() => this.notifier.permission());
    if (this.permission === 'default') this.want(false); // the question was closed unanswered
  }

  tell(title: string, body: string): void {
    this.permission = this.notifier.permission();
    if (!this.isOn || this.notifier.isPageVisible()) return;
    try {
      this.notifier.show(title, body);
    } catch {
      // The tab's title says it, too.
    }
  }

  private want(wanted: boolean): void {
    this.wanted = wanted;
    saveSetting(SETTING, wanted);
  }
}
