/** Secrets, each bound to the origin that it was given for, and to be sent to no other. */
import { checkSecret } from './endpoint';

/** Characters that tell a secret, or the beginning of one, from any word. */
const SHORTEST_CUT = 4;

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

  /** A text with `…` in the place of every secret, also of one whose end was cut off, as messages cut what is long. */
  cutFrom(text: string): string {
    let cut = text;
    for (const secret of this.#byOrigin.values()) {
      if (secret.length < SHORTEST_CUT) continue;
      cut = cut.replaceAll(secret, '…');
      for (let length = secret.length - 1; length >= SHORTEST_CUT; length--)
        cut = cut.replaceAll(`${secret.slice(0, length)}…`, '…');
    }
    return cut;
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
