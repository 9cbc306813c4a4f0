/** The copy of the page that its service worker keeps, and the newer one that waits until the visitor takes it. */
import { folderOf, pageLock, TAKE_OVER, trainingLock } from './release';

/** Milliseconds between two looks for a newer version while the page stays open. */
const LOOK_INTERVAL = 3_600_000;

export class UpdateState {
  /** The page opens without a connection. */
  kept = $state(false);
  /** A newer version was ready at a time when no tab trained. */
  ready = $state(false);

  private readonly folder = folderOf(document.baseURI);
  private registration: ServiceWorkerRegistration | undefined;

  /**
   * Keeps the page, once everything of it is back and the browser has nothing else to do: it fetches and hashes all of it.
   * Not while the page is developed.
   */
  begin(restored: Promise<void>): void {
    if (!import.meta.env.PROD || !navigator.serviceWorker) return;
    const entry = document.querySelector<HTMLScriptElement>('script[type=module]');
    if (entry) holdLock(pageLock(entry.src));
    const register = () => void this.register().catch(() => undefined); // the browser refuses it: the page works without
    void restored.then(() =>
      'requestIdleCallback' in window ? requestIdleCallback(register) : setTimeout(register, 1000),
    );
  }

  /** While this tab trains, no tab is offered a newer version. Returns what ends that. */
  holdBack(): () => void {
    return holdLock(trainingLock(this.folder));
  }

  /** Puts the newer version in place and opens it here; other tabs stay with theirs until they are opened again. */
  async take(): Promise<void> {
    this.ready = false;
    const lock = trainingLock(this.folder);
    const isFree = await navigator.locks.request(lock, { ifAvailable: true }, (held) => held !== null);
    if (!isFree) return this.offer();
    const waiting = this.registration?.waiting;
    if (!waiting) return location.reload(); // another tab has put it in place
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    waiting.postMessage(TAKE_OVER);
  }

  private async register(): Promise<void> {
    const registration = await navigator.serviceWorker.register(`${this.folder}service-worker.js`, {
      scope: this.folder,
      updateViaCache: 'none',
    });
    this.registration = registration;
    const look = () => {
      this.kept = registration.active !== null;
      if (registration.active && registration.waiting) void this.offer();
    };
    const follow = () => registration.installing?.addEventListener('statechange', look);
    registration.addEventListener('updatefound', follow);
    follow();
    look();
    setInterval(() => void registration.update().catch(() => undefined), LOOK_INTERVAL);
  }

  /** Waits until no tab trains. */
  private async offer(): Promise<void> {
    await navigator.locks.request(trainingLock(this.folder), () => undefined);
    this.ready = true;
  }
}

/** Holds a lock together with whoever else does, until what is returned is called, or the tab is gone. */
function holdLock(name: string): () => void {
  let letGo = () => {};
  const held = new Promise<void>((resolve) => (letGo = resolve));
  navigator.locks?.request(name, { mode: 'shared' }, () => held).catch(() => undefined);
  return letGo;
}
