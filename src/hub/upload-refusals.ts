/** What a Hub means by refusing files, and what to do about it. */
import { ConnectionError } from '../connections/errors';
import { formatBytes } from '../core/bytes';
import { GraftError, throwIfCancelled } from '../core/errors';
import { quote } from '../core/format';

/** A refusal that stays the same however often one asks. */
export class HubRefusal extends ConnectionError {
  constructor(
    readonly status: number,
    /** `RepoNotFound` and the like; empty where the Hub gave none. */
    readonly hubCode: string,
    /** Its own words, or empty. */
    readonly reason: string,
    /** What was asked for, as messages name it. */
    readonly what: string,
  ) {
    super('no-access', `A Hub answered ${status} for ${what}.`);
  }

  /** There is no such repository, or none that the token may see: a Hub doesn't tell the two apart. */
  get hidesRepo(): boolean {
    return this.hubCode === 'RepoNotFound' || (this.hubCode === '' && this.status === 404);
  }
}

/** Where files go, as messages name it. */
export interface Destination {
  readonly endpoint: string;
  /** `org/name`. */
  readonly repo: string;
  readonly branch: string;
}

/** Whose token it is, as far as the Hub tells. */
export interface TokenOwner {
  readonly name: string;
  readonly organizations: readonly string[];
  /** `read`, `write` or `fineGrained`. */
  readonly role: string | undefined;
}

/** No token was given, and nobody may write without. */
export function withoutToken({ endpoint, repo }: Destination): GraftError {
  return new GraftError(
    'no-access',
    `Nothing can be uploaded to ${repo} without a token: make one with write access at ${endpoint}/settings/tokens.`,
  );
}

/** The repository's name is given to one that the token may not see. */
export function takenName({ endpoint, repo }: Destination): GraftError {
  return new GraftError(
    'no-access',
    `The name ${repo} is taken on ${hostOf(endpoint)}, by a repository that the token may not see: choose another name, or use ` +
      'a token that may write to it.',
  );
}

/** Nothing was sent where more people would have read it than was asked for. */
export function notPrivate({ endpoint, repo }: Destination): GraftError {
  return new GraftError(
    'no-access',
    `${hostOf(endpoint)} made ${repo} public, though a private repository was asked for: nothing was uploaded. Make it ` +
      `private at ${endpoint}/${repo}/settings, or upload to a public one.`,
  );
}

/**
 * A refusal as a sentence that says what to do. `askOwner` tells whose token it is, which a refusal leaves out.
 */
export async function explainUploadRefusal(
  refused: HubRefusal,
  to: Destination,
  askOwner: () => Promise<TokenOwner>,
): Promise<GraftError> {
  const { status, hubCode, reason, what } = refused;
  const { endpoint, repo, branch } = to;
  const host = hostOf(endpoint);
  const because = (code: GraftError['code'], message: string) => new GraftError(code, message, { cause: refused });
  const words = reason === '' ? '' : ` (${quote(reason)})`;
  if (status === 401 && hubCode === '') return because('no-access', tokenRefused(to));
  if (/\b(storage|quota|disk space)\b/i.test(reason) && [402, 403, 413, 422, 507].includes(status)) {
    return because(
      'storage',
      `${host} has no room for ${what}${words}: delete what isn't needed of the account that owns ${repo}, give it more ` +
        'room, or upload to another one or to a public repository.',
    );
  }
  if (status === 413) {
    return because(
      'unsupported',
      `${what} is too large for ${host}${words}: upload a smaller one, as export writes it with fewer bits.`,
    );
  }
  if (/\bprotected\b/i.test(reason)) {
    return because(
      'no-access',
      `The branch ${branch} of ${repo} is protected${words}: upload to another branch, or ask its owner.`,
    );
  }
  if (hubCode === 'RevisionNotFound') {
    return because('not-found', `${repo} has no branch ${branch}: give one that it has.`);
  }
  if (status === 403 || status === 404 || status === 401) return explainForbidden(refused, to, askOwner);
  return because('network', `${host} refuses ${what} with status ${status}${words}.`);
}

async function explainForbidden(
  refused: HubRefusal,
  to: Destination,
  askOwner: () => Promise<TokenOwner>,
): Promise<GraftError> {
  const { endpoint, repo } = to;
  const [namespace = '', name = ''] = repo.split('/');
  const because = (message: string) => new GraftError('no-access', message, { cause: refused });
  const words = refused.reason === '' ? '' : ` (${quote(refused.reason)})`;
  const owner = await askOwner().catch((error: unknown) => {
    if (error instanceof GraftError && error.code === 'cancelled') throwIfCancelled(AbortSignal.abort());
    return error instanceof HubRefusal && error.status === 401 ? ('refused' as const) : undefined;
  });
  if (owner === 'refused') return because(tokenRefused(to));
  const spaces = owner && [owner.name, ...owner.organizations].map((space) => space.toLowerCase());
  if (owner && !spaces!.includes(namespace.toLowerCase())) {
    return because(
      `${repo} belongs to ${namespace}, where the token's account, ${owner.name}, may not write: name a repository of its ` +
        `own, such as ${owner.name}/${name}.`,
    );
  }
  if (owner?.role === 'read') {
    return because(
      `The token may only read: make one with write access at ${endpoint}/settings/tokens to upload to ${repo}.`,
    );
  }
  return because(
    `The token may not write to ${repo}${words}: give it write access to the repositories of ${namespace} at ` +
      `${endpoint}/settings/tokens.`,
  );
}

function tokenRefused({ endpoint }: Destination): string {
  return (
    `${hostOf(endpoint)} doesn't accept the token: it may be mistyped, expired or revoked. Make one with write access at ` +
    `${endpoint}/settings/tokens.`
  );
}

/** One object of large-file storage is more than the Hub takes at once, or its answer leaves a part of it out. */
export function wrongParts(file: string, size: number, parts: number): GraftError {
  return new GraftError(
    'bad-file',
    `The Hub gave ${parts} addresses for the ${formatBytes(size)} of ${file}, which don't fit: try again later.`,
  );
}

function hostOf(endpoint: string): string {
  return new URL(endpoint).host;
}
