/** What a Hub means by its refusals: it says why in two headers of its own. */
import { ConnectionError } from '../connections/errors';

/** What a request to a Hub is about, as messages name it. */
export interface HubSubject {
  readonly repo?: string;
  readonly revision?: string;
  readonly file?: string;
}

interface RefusedRequest extends HubSubject {
  readonly endpoint: string;
  readonly what: string;
  readonly hasSecret: boolean;
}

/** The error for an answer that stays the same however often one asks; undefined where its status says it all. */
export function explainRefusal(
  { status, headers }: Response,
  message: string,
  refused: RefusedRequest,
): ConnectionError | undefined {
  const { endpoint, what, repo, revision, file, hasSecret } = refused;
  const code = headers.get('x-error-code') ?? '';
  const { host } = new URL(endpoint);
  const named = repo ?? what;
  if (code === 'GatedRepo') return gated(status, refused);
  if (code === 'DisabledRepo' || message === 'Access to this resource is disabled.')
    return new ConnectionError('no-access', `${host} has disabled ${named}: choose another model.`);
  if (status === 401 && hasSecret && (code === '' || /credentials/i.test(message))) {
    return new ConnectionError(
      'no-access',
      `${host} doesn't accept the token: it may be mistyped, expired or revoked. Make one with read access at ${endpoint}/settings/tokens, or go without.`,
    );
  }
  if (code === 'RevisionNotFound' || (status === 404 && code === '' && revision !== undefined && file === undefined))
    return new ConnectionError(
      'not-found',
      `${named} has no revision ${revision ?? ''}: give a branch, a tag or a commit.`,
    );
  if (code === 'EntryNotFound' || (status === 404 && code === '' && file !== undefined))
    return new ConnectionError('not-found', `${named} has no file ${file ?? ''} on ${host}.`);
  // Who may not see a repository isn't told whether there is one: 401 without a token, 404 with one.
  if (code === 'RepoNotFound' || (status === 401 && repo !== undefined)) {
    return hasSecret
      ? new ConnectionError('not-found', `${host} has no model ${named} that the token may see: check the name.`)
      : new ConnectionError(
          'not-found',
          `${host} has no public model ${named}: check the name; for a private model give a token with read access.`,
        );
  }
  return undefined;
}

function gated(status: number, { endpoint, repo = '', hasSecret }: RefusedRequest): ConnectionError {
  const page = `${endpoint}/${repo}`;
  return new ConnectionError(
    'no-access',
    status === 403 && hasSecret
      ? `The token may not read ${repo}, which is gated: open ${page} with the token's account and accept the terms, ` +
          'or wait for approval there; a fine-grained token also needs read access to gated repositories.'
      : `${repo} is gated: open ${page}, sign in and accept its terms, then give a token with read access.`,
  );
}
