/** Secrets that the visitor asked this browser to keep, each with the origin that it was given for. */
import { isText, loadSetting, onSettingChanged, removeSetting, saveSetting } from '../../persisted';

export interface OriginSecret {
  /** Scheme, host and port: the secret goes nowhere else. */
  readonly origin: string;
  readonly secret: string;
}

const SECRETS = 'secrets';
/** What earlier pages kept: a token by itself, for whichever Hub was asked then. */
const UNBOUND_TOKEN = 'hub-token';

/** Scheme, host and port of an address; empty for what is none. */
export function originOf(address: string): string {
  return URL.canParse(address) ? new URL(address).origin : '';
}

export function loadSecrets(): OriginSecret[] {
  return loadSetting(SECRETS, [], isSecretList).map(({ origin, secret }) => ({ origin, secret }));
}

/**
 * Keeps one secret, in place of what was kept for its origin. What storage holds now is what is changed, for another tab
 * may have changed it since it was last read. False where the browser refuses to keep anything.
 */
export function keepSecret(kept: OriginSecret): boolean {
  saveSecrets([...loadSecrets().filter(({ origin }) => origin !== kept.origin), kept]);
  return loadSecrets().some(({ origin, secret }) => origin === kept.origin && secret === kept.secret);
}

/** Keeps nothing for an origin any more; what is kept for others stays. */
export function forgetSecret(forgotten: string): void {
  saveSecrets(loadSecrets().filter(({ origin }) => origin !== forgotten));
}

/** Calls `listener` when another tab has kept or forgotten a secret. */
export function onSecretsChanged(listener: () => void): void {
  onSettingChanged(SECRETS, listener);
}

function saveSecrets(secrets: readonly OriginSecret[]): void {
  if (secrets.length === 0) removeSetting(SECRETS);
  else saveSetting(SECRETS, secrets);
}

/**
 * Takes over the token that an earlier page kept. It was for the Hub that the visitor had chosen; where they had chosen
 * none, it was for the one that the page was served with then, which nobody knows any more: it is deleted.
 * @param endpoint the visitor's own choice of a Hub, which earlier pages kept along with its token
 */
export function bindOldToken(endpoint: string | null): { readonly bound?: OriginSecret; readonly dropped: boolean } {
  const secret = loadSetting(UNBOUND_TOKEN, '', isText);
  removeSetting(UNBOUND_TOKEN);
  if (secret === '') return { dropped: false };
  const origin = originOf(endpoint ?? '');
  if (origin === '') return { dropped: true };
  const bound = { origin, secret };
  keepSecret(bound);
  return { bound, dropped: false };
}

function isSecretList(value: unknown): value is OriginSecret[] {
  return Array.isArray(value) && value.every(isOriginSecret);
}

function isOriginSecret(value: unknown): value is OriginSecret {
  const { origin, secret } = (value ?? {}) as Partial<Record<string, unknown>>;
  return isText(origin) && isText(secret) && origin !== '' && originOf(origin) === origin;
}
