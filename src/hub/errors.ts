/** What goes wrong between Graft and a Hub, each failure with its own sentence, and whether asking again may help. */
import { GraftError, type ErrorCode } from '../core/errors';
import { formatCount, plural, quote } from '../core/format';
import { retryAfterMs } from './retry-after';

interface Chance {
  /** The same request may succeed later. */
  readonly transient?: boolean;
  /** How long the host asked to wait. */
  readonly waitMs?: number | undefined;
  readonly cause?: unknown;
}

export class HubError extends GraftError {
  readonly transient: boolean;
  readonly waitMs: number | undefined;

  constructor(code: ErrorCode, message: string, { transient = false, waitMs, cause }: Chance = {}) {
    super(code, message, { cause });
    this.transient = transient;
    this.waitMs = waitMs;
  }
}

/** What a request was for, as messages name it. */
export interface Subject {
  /** The Hub's base URL. */
  readonly endpoint: string;
  /** `the list of models`, `config.json of org/name`. */
  readonly what: string;
  readonly repo?: string;
  readonly revision?: string;
  readonly file?: string;
  readonly hasToken: boolean;
}

/** The error for a response that is neither 2xx nor a redirect. The Hub says why in two headers of its own. */
export function refusal(response: Response, subject: Subject, now = Date.now()): HubError {
  const { endpoint, what } = subject;
  const host = hostOf(endpoint);
  const { status, headers } = response;
  if (status === 416)
    return new HubError('bad-file', `${host} has fewer bytes of ${what} than are listed: try again later.`);
  if (response.url !== '' && new URL(response.url).origin !== new URL(endpoint).origin) {
    // The host that keeps the files: its signed addresses run out, and the Hub gives out new ones.
    const there = hostOf(response.url);
    return new HubError('network', `${there} answered ${status} for ${what}, to where ${host} had sent for it.`, {
      transient: [403, 404, 408, 410, 425, 429].includes(status) || status >= 500,
      waitMs: retryAfterMs(headers, now),
    });
  }
  if (status === 429) {
    const waitMs = retryAfterMs(headers, now);
    const when = waitMs === undefined ? 'in a few minutes' : `in ${plural(Math.ceil(waitMs / 1000), 'second')}`;
    const token = subject.hasToken ? '' : '; with a token the limit is higher';
    return new HubError('network', `${host} has had too many requests from here: try again ${when}${token}.`, {
      transient: true,
      waitMs,
    });
  }
  if (status >= 500 || status === 408 || status === 425) {
    return new HubError('network', `${host} has a problem (it answered ${status} for ${what}): try again later.`, {
      transient: true,
      waitMs: retryAfterMs(headers, now),
    });
  }
  return forGood(status, headers.get('x-error-code') ?? '', headers.get('x-error-message') ?? '', subject);
}

/** Answers that stay the same however often one asks. */
function forGood(status: number, code: string, message: string, subject: Subject): HubError {
  const { endpoint, what, repo, revision, file, hasToken } = subject;
  const host = hostOf(endpoint);
  const named = repo ?? what;
  if (code === 'GatedRepo') return gated(status, subject);
  if (code === 'DisabledRepo' || message === 'Access to this resource is disabled.')
    return new HubError('no-access', `${host} has disabled ${named}: choose another model.`);
  if (status === 401 && hasToken && (code === '' || /credentials/i.test(message))) {
    return new HubError(
      'no-access',
      `${host} doesn't accept the token: it may be mistyped, expired or revoked. Make one with read access at ${endpoint}/settings/tokens, or go without.`,
    );
  }
  if (code === 'RevisionNotFound' || (status === 404 && code === '' && revision !== undefined && file === undefined)) {
    return new HubError('not-found', `${named} has no revision ${revision ?? ''}: give a branch, a tag or a commit.`);
  }
  if (code === 'EntryNotFound' || (status === 404 && code === '' && file !== undefined))
    return new HubError('not-found', `${named} has no file ${file ?? ''} on ${host}.`);
  // Who may not see a repository isn't told whether there is one: 401 without a token, 404 with one.
  if (code === 'RepoNotFound' || (status === 401 && repo !== undefined)) {
    return hasToken
      ? new HubError('not-found', `${host} has no model ${named} that the token may see: check the name.`)
      : new HubError(
          'not-found',
          `${host} has no public model ${named}: check the name; for a private model give a token with read access.`,
        );
  }
  if (status === 401) return new HubError('no-access', `${host} wants a token for ${what}.`);
  if (status === 403) {
    const why = message === '' ? '' : ` (${quote(message)})`;
    return new HubError(
      'no-access',
      `${host} refuses ${what}${why}: ${hasToken ? 'check what the token may read' : 'it may want a token with read access'}.`,
    );
  }
  if (status === 404 || status === 410)
    return new HubError('not-found', `${host} has no ${what.replace(/^the /, '')}.`);
  const why = message === '' ? '' : `: ${quote(message)}`;
  return new HubError('network', `${host} answered ${status} for ${what}${why}.`);
}

function gated(status: number, { endpoint, repo = '', hasToken }: Subject): HubError {
  const page = `${endpoint}/${repo}`;
  return new HubError(
    'no-access',
    status === 403 && hasToken
      ? `The token may not read ${repo}, which is gated: open ${page} with the token's account and accept the terms, ` +
          'or wait for approval there; a fine-grained token also needs read access to gated repositories.'
      : `${repo} is gated: open ${page}, sign in and accept its terms, then give a token with read access.`,
  );
}

/** `fetch` failed without an answer. A browser doesn't say whether the host is down or its answer was withheld. */
export function unreachable({ endpoint, what }: Subject, cause: unknown): HubError {
  const own = endpoint === 'https://huggingface.co';
  const check = own
    ? 'check the connection, and whether a firewall, proxy or blocker stops huggingface.co or hf.co'
    : "check the address and the connection; in a browser it must also send CORS headers (Access-Control-Allow-Origin), and so must the host that it redirects to, and the page's policy must allow both";
  return new HubError('network', `${hostOf(endpoint)} can't be reached for ${what}: ${check}.`, {
    transient: true,
    cause,
  });
}

export function stalled({ endpoint, what }: Subject, afterMs: number): HubError {
  const seconds = plural(Math.max(1, Math.round(afterMs / 1000)), 'second');
  return new HubError('network', `${hostOf(endpoint)} sent nothing for ${seconds} in the middle of ${what}.`, {
    transient: true,
  });
}

/** The connection was closed in mid-transfer. */
export function brokenOff({ endpoint, what }: Subject, cause?: unknown): HubError {
  return new HubError('network', `The download of ${what} from ${hostOf(endpoint)} broke off.`, {
    transient: true,
    cause,
  });
}

/** The last of several attempts in which not one byte came. */
export function gaveUp(last: HubError, position: number, size: number): HubError {
  const reached = `${formatCount(position)} of ${plural(size, 'byte')} had come`;
  return new HubError(
    last.code,
    `${last.message} Several attempts brought nothing more (${reached}): try again later.`,
    {
      waitMs: last.waitMs,
      cause: last,
    },
  );
}

export function htmlInstead({ endpoint, what }: Subject): HubError {
  return new HubError(
    'bad-file',
    `${hostOf(endpoint)} sent a web page in place of ${what}: a network that wants you to sign in first, a proxy, or an address that is no Hub.`,
  );
}

export function badAnswer({ endpoint, what }: Subject, why: string): HubError {
  return new HubError('bad-file', `${hostOf(endpoint)} sent for ${what} what no Hub sends: ${why}.`);
}

/** The file's length is not the listed one. */
export function wrongSize({ endpoint, what }: Subject, got: number, listed: number): HubError {
  return new HubError(
    'bad-file',
    `${hostOf(endpoint)} sent ${plural(got, 'byte')} for ${what}, which is listed with ${formatCount(listed)}: the copy there is damaged. Try another mirror, or later.`,
  );
}

export function changed({ endpoint, what }: Subject): HubError {
  return new HubError('bad-file', `${what} changed on ${hostOf(endpoint)} while it was downloaded: start again.`);
}

export function damaged({ endpoint, what }: Subject): HubError {
  return new HubError(
    'bad-file',
    `${what} came damaged from ${hostOf(endpoint)}: its hash is not the listed one. Try again, or another mirror.`,
  );
}

export function withoutRanges({ endpoint, what }: Subject): HubError {
  return new HubError(
    'unsupported',
    `${hostOf(endpoint)} can't send parts of ${what} (it ignores the Range header), which Graft needs: use another mirror.`,
  );
}

function hostOf(url: string): string {
  return new URL(url).host;
}
