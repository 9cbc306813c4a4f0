/** Secrets, each bound to the origin that it was given for, and to be sent to no other. */
import { checkSecret } from './endpoint';

/** Held in memory alone, in a private field: a copy as JSON, or to another thread, has none of them. */
export class Secrets {
  readonly #byOrigin = new Map<string, string>();

  /**
   * From now on `secret` goes to the origin of `url`; undefined or an empty one forgets what was given for it.
   * @throws `bad-config` for characters that no token has
   */
  set(url: string, secret: string | undefined): void {
    const { origin } = new URL(url);
    const checked = checkSecret(secret);
    if (checked === undefined) this.#byOrigin.delete(origin);
    else this.#byOrigin.set(origin, checked);
  }

  /** Forgets all of them. */
  clear(): void {
    this.#byOrigin.clear();
  }

  /** The secret for the origin of `url`: scheme, host and port. */
  get(url: string): string | undefined {
    return this.#byOrigin.get(new URL(url).origin);
  }
}
