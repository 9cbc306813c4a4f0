/** Addresses of other hosts, checked before anything is sent there. */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';

/**
 * The base URL of a service without a slash at its end. Credentials, queries and fragments have no place in it: they
 * would end up in messages and records.
 * @param what what the address should lead to, as messages name it: `a Hub`
 * @param example an address that would do
 * @throws `bad-config` for what is no such http(s) URL; the message leaves credentials out
 */
export function checkEndpoint(endpoint: string, what: string, example: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isPlain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url && /^https?:$/.test(url.protocol) && isPlain) return url.href.replace(/\/+$/, '');
  const shown = endpoint.replace(/\/\/[^/]*@/, '//…@').replace(/[?#].*$/, (rest) => `${rest[0]}…`);
  throw new GraftError('bad-config', `${quote(shown)} is no address of ${what}: give a URL such as ${example}.`);
}

/**
 * A secret as a header can carry it, or undefined for an empty one. The message doesn't repeat it.
 * @throws `bad-config` for characters that no token has
 */
export function checkSecret(secret: string | undefined): string | undefined {
  const trimmed = secret?.trim() ?? '';
  if (trimmed === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw new GraftError('bad-config', 'The token has a character in it that no token has: copy it again.');
}
