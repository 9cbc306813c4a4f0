/** Names of repositories and revisions, checked before they go into a URL. */
import { checkEndpoint } from '../connections/endpoint';
import { GraftError } from '../core/errors';
import { quote } from '../core/format';

/** An owner and a name, each begun and ended by a letter, digit or underscore, as the Hub allows them. */
const REPO = /^[A-Za-z0-9_](?:[\w.-]{0,94}[\w])?\/[A-Za-z0-9_](?:[\w.-]{0,94}[\w])?$/;
/** Git forbids these in the names of branches and tags, and dots alone would climb out of a URL's path. */
const NOT_IN_REVISIONS = /[\s~^:?*[\]\\\p{Cc}]|\.\.|@\{|\/\/|^[-./]|[./]$/u;
const COMMIT = /^[0-9a-f]{40}$/;

/** Whether `text` has the form of a Hub id, `org/name`. */
export function isRepoId(text: string): boolean {
  return REPO.test(text) && !/--|\.\./.test(text) && !text.endsWith('.git');
}

/** Whether `revision` is a whole commit hash, and so names the same files for ever. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

export const HUGGING_FACE = 'https://huggingface.co';

/**
 * What a model's files are kept under: `org/name@commit`, and behind it, for another Hub than huggingface.co, `@host` (or
 * its whole address where that isn't https). Its files are only as good as its own list of them, so that they never stand
 * in for another Hub's.
 * @throws `bad-config` for an endpoint that can't be one
 */
export function modelIdentity(repo: string, commit: string, endpoint: string = HUGGING_FACE): string {
  const place = checkHubEndpoint(endpoint);
  return `${repo}@${commit}${place === HUGGING_FACE ? '' : `@${place.replace(/^https:\/\//, '')}`}`;
}

/** The parts of a `modelIdentity`, or undefined for text of another form, as other models are kept under. */
export function parseModelIdentity(
  identity: string,
): { readonly repo: string; readonly commit: string; readonly endpoint: string } | undefined {
  const [, repo = '', commit = '', place] = /^([^@]+)@([0-9a-f]{40})(?:@(.+))?$/.exec(identity) ?? [];
  if (!isRepoId(repo)) return undefined;
  if (place === undefined) return { repo, commit, endpoint: HUGGING_FACE };
  return { repo, commit, endpoint: /^http:\/\//.test(place) ? place : `https://${place}` };
}

/** The parts of `org/name` or `org/name@revision`, or undefined for text of another form. */
export function parseModelName(text: string): { repo: string; revision?: string } | undefined {
  const [repo = '', ...rest] = text.split('@');
  if (!isRepoId(repo)) return undefined;
  return rest.length === 0 ? { repo } : { repo, revision: rest.join('@') };
}

/** @throws `bad-config` for what can't be a repository of the Hub. */
export function checkRepoId(repo: string): string {
  if (isRepoId(repo)) return repo;
  throw new GraftError('bad-config', `${quote(repo)} is no name of a model on the Hub: write it as org/name.`);
}

/** @throws `bad-config` for what can't be a branch, tag or commit. */
export function checkRevision(revision: string): string {
  if (revision !== '' && revision.length <= 255 && !NOT_IN_REVISIONS.test(revision)) return revision;
  throw new GraftError('bad-config', `${quote(revision)} is no revision: give a branch, a tag or a commit.`);
}

/**
 * The base URL of a Hub, without a slash at its end.
 * @throws `bad-config` for what is no http(s) URL
 */
export function checkHubEndpoint(endpoint: string): string {
  return checkEndpoint(endpoint, 'a Hub', HUGGING_FACE);
}
