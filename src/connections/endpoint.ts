/** Addresses of other hosts, checked before anything is sent there. */
import { GraftError } from '../core/errors';

/**
 * The base URL of a service without a slash at its end. Credentials, queries and fragments have no place in it: they
 * would end up in messages and records.
 * @param what what the address should lead to, as messages name it: `a Hub`
 * @param example an address that would do
 * @throws `bad-config` for what is no such http(s) URL. The message repeats nothing of it: what was given in the place of
 *   an address may be a secret, or have one anywhere in it
 */
export function checkEndpoint(endpoint: string, what: string, example: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const fault = findFault(url);
  // Not `href`, which keeps the mark of a query or a fragment that is empty.
  if (url && fault === undefined) return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
  throw new GraftError(
    'bad-config',
    `What was given (${fault}) is no address of ${what}: give a URL such as ${example}.`,
  );
}

function findFault(url: URL | undefined): string | undefined {
  if (!url) return 'no URL';
  if (!/^https?:$/.test(url.protocol)) return 'a URL that begins with neither https:// nor http://';
  if (url.username !== '' || url.password !== '') return 'a URL with a user name or a password in it';
  if (url.search !== '') return 'a URL with a query, behind a ?';
  return url.hash === '' ? undefined : 'a URL with a fragment, behind a #';
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
