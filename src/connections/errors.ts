/** What goes wrong between Graft and another host, each failure with its own sentence, and whether asking again may help. */
import { GraftError, type ErrorCode } from '../core/errors';
import { formatCount, plural, quote } from '../core/format';
import { retryAfterMs } from './retry-after';

interface Chance {
  /** The same request may succeed later. */
  readonly transient?: boolean;
  /** The host may have done what it was asked all the same: no answer came, or not all of it. */
  readonly mayHaveActed?: boolean;
  /** How long the host asked to wait. */
  readonly waitMs?: number | undefined;
  readonly cause?: unknown;
}

export class ConnectionError extends GraftError {
  readonly transient: boolean;
  readonly mayHaveActed: boolean;
  readonly waitMs: number | undefined;

  constructor(code: ErrorCode, message: string, chance: Chance = {}) {
    super(code, message, { cause: chance.cause });
    this.transient = chance.transient ?? false;
    this.mayHaveActed = chance.mayHaveActed ?? false;
    this.waitMs = chance.waitMs;
  }
}

/** What a request is for, as messages name it. */
export interface Subject {
  /** Base URL of the service. */
  readonly endpoint: string;
  /** `the list of models`, `config.json of org/name`. */
  readonly what: string;
  readonly hasSecret: boolean;
  /** A text of the host's without the secrets that Graft holds: a host may repeat what it was sent. */
  readonly withoutSecrets: (text: string) => string;
  /** A web page is what is asked for, and not a sign that somebody else answered. */
  readonly wantsPage?: boolean;
  /** What to check where the host can't be reached; a general advice otherwise. */
  readonly ifUnreachable?: string;
  /** What the service means by a refusal that stays the same however often one asks; undefined leaves it to the status. */
  readonly explain?: (response: Response, reason: string) => ConnectionError | undefined;
}

/**
 * The error for a response that is neither 2xx nor a redirect that was followed.
 * @param reason the host's own words, empty where it gave none
 */
export function refusal(response: Response, subject: Subject, reason = '', now = Date.now()): ConnectionError {
  const { endpoint, what, hasSecret } = subject;
  const host = hostOf(endpoint);
  const { status, headers } = response;
  if (status === 416)
    return new ConnectionError('bad-file', `${host} has fewer bytes of ${what} than are listed: try again later.`);
  if (response.url !== '' && new URL(response.url).origin !== new URL(endpoint).origin) {
    // The host that keeps the files: its signed addresses run out, and the endpoint gives out new ones.
    const there = hostOf(response.url);
    return new ConnectionError(
      'network',
      `${there} answered ${status} for ${what}, to where ${host} had sent for it.`,
      {
        transient: [403, 404, 408, 410, 425, 429].includes(status) || status >= 500,
        waitMs: retryAfterMs(headers, now),
      },
    );
  }
  if (status === 429) {
    const waitMs = retryAfterMs(headers, now);
    const when = waitMs === undefined ? 'in a few minutes' : `in ${plural(Math.ceil(waitMs / 1000), 'second')}`;
    const token = hasSecret ? '' : '; with a token the limit is higher';
    return new ConnectionError('network', `${host} has had too many requests from here: try again ${when}${token}.`, {
      transient: true,
      waitMs,
    });
  }
  if (status >= 500 || status === 408 || status === 425) {
    return new ConnectionError(
      'network',
      `${host} has a problem (it answered ${status} for ${what}): try again later.`,
      {
        transient: true,
        mayHaveActed: status !== 503,
        waitMs: retryAfterMs(headers, now),
      },
    );
  }
  const words = subject.withoutSecrets(reason);
  return subject.explain?.(response, words) ?? finalRefusal(response, subject, words);
}

function finalRefusal({ status }: Response, subject: Subject, message: string): ConnectionError {
  const { endpoint, what, hasSecret } = subject;
  const host = hostOf(endpoint);
  if (status === 401) {
    return hasSecret
      ? new ConnectionError('no-access', `${host} doesn't accept the token for ${what}: check it, or make a new one.`)
      : new ConnectionError('no-access', `${host} wants a token for ${what}.`);
  }
  if (status === 403) {
    const why = message === '' ? '' : ` (${quote(message)})`;
    const check = hasSecret ? 'check what the token may read' : 'it may want a token with read access';
    return new ConnectionError('no-access', `${host} refuses ${what}${why}: ${check}.`);
  }
  if (status === 404 || status === 410)
    return new ConnectionError('not-found', `${host} has no ${what.replace(/^the /, '')}.`);
  const why = message === '' ? '' : `: ${quote(message)}`;
  return new ConnectionError('network', `${host} answered ${status} for ${what}${why}.`);
}

const CHECK_HOST =
  'check the address and the connection; in a browser it must also send CORS headers (Access-Control-Allow-Origin), ' +
  'and so must the host that it redirects to';

/** `fetch` failed without an answer. A browser doesn't say whether the host is down or its answer was withheld. */
export function unreachable({ endpoint, what, ifUnreachable }: Subject, cause: unknown): ConnectionError {
  const check = ifUnreachable ?? CHECK_HOST;
  return new ConnectionError('network', `${hostOf(endpoint)} can't be reached for ${what}: ${check}.`, {
    transient: true,
    mayHaveActed: true,
    cause,
  });
}

/** The page's Content-Security-Policy let no request go to the endpoint. Only who serves the page can change that. */
export function forbiddenByPolicy({ endpoint, what }: Subject, cause: unknown): ConnectionError {
  const { origin } = new URL(endpoint);
  return new ConnectionError(
    'bad-config',
    `This page's policy doesn't let it ask ${origin} for ${what}: whoever serves the page allows a host by starting or ` +
      `building it with GRAFT_CONNECT_HOSTS=${origin}.`,
    { cause },
  );
}

/** The endpoint answers, and redirects to a host that the page's policy doesn't name. A browser doesn't say which. */
export function redirectForbiddenByPolicy({ endpoint, what }: Subject, cause: unknown): ConnectionError {
  return new ConnectionError(
    'bad-config',
    `${hostOf(endpoint)} redirects for ${what} to a host that this page's policy doesn't let it ask: whoever serves the ` +
      'page allows that host by adding it to GRAFT_CONNECT_HOSTS.',
    { cause },
  );
}

export function stalled({ endpoint, what }: Subject, afterMs: number): ConnectionError {
  const seconds = plural(Math.max(1, Math.round(afterMs / 1000)), 'second');
  return new ConnectionError('network', `${hostOf(endpoint)} sent nothing for ${seconds} in the middle of ${what}.`, {
    transient: true,
    mayHaveActed: true,
  });
}

/** The connection was closed in mid-transfer. */
export function brokenOff({ endpoint, what }: Subject, cause?: unknown): ConnectionError {
  return new ConnectionError('network', `The download of ${what} from ${hostOf(endpoint)} broke off.`, {
    transient: true,
    mayHaveActed: true,
    cause,
  });
}

/** The last of several attempts in which not one byte came. */
export function gaveUp(last: ConnectionError, position: number, size: number): ConnectionError {
  const reached = `${formatCount(position)} of ${plural(size, 'byte')} had come`;
  return new ConnectionError(
    last.code,
    `${last.message} Several attempts brought nothing more (${reached}): try again later.`,
    { waitMs: last.waitMs, cause: last },
  );
}

export function pageInstead({ endpoint, what }: Subject): ConnectionError {
  return new ConnectionError(
    'bad-file',
    `${hostOf(endpoint)} sent a web page in place of ${what}: a network that wants you to sign in first, a proxy, or an ` +
      'address of something else.',
  );
}

/** @param why what is wrong, which may repeat a part of the answer */
export function badAnswer({ endpoint, what, withoutSecrets }: Subject, why: string): ConnectionError {
  const reason = withoutSecrets(why);
  return new ConnectionError('bad-file', `${hostOf(endpoint)} sent for ${what} what can't be an answer: ${reason}.`);
}

/** An answer that keeps coming and doesn't end: asking again would take as long. */
export function tooSlow({ endpoint, what }: Subject, afterMs: number): ConnectionError {
  const seconds = plural(Math.max(1, Math.round(afterMs / 1000)), 'second');
  return new ConnectionError(
    'network',
    `${hostOf(endpoint)} had not sent all of ${what} after ${seconds}: try again later, or another mirror.`,
    { mayHaveActed: true },
  );
}

function hostOf(url: string): string {
  return new URL(url).host;
}
