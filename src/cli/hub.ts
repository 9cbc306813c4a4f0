/** Models of the Hub on the command line, set up by the environment as Hugging Face's own tools are. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describePause } from '../connections/pauses';
import { errorCode, GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import type { OpeningCache } from '../core/weight-cache';
import { HubClient } from '../hub/client';
import { checkHubEndpoint, checkRevision, HUGGING_FACE, isCommit, modelIdentity } from '../hub/names';
import { hubSource, isListedContent } from '../hub/source';
import { replayedSource } from '../storage/recording';
import { cachedSnapshot, preferLocal } from './hub-cache';
import { openingsFolder } from './opening-folder';

/** Where this run finds the Hub, the token and the cache. */
export interface HubEnvironment {
  readonly endpoint: string | undefined;
  /** For the endpoint. */
  readonly token: string | undefined;
  /** There is a token in a file, which is for huggingface.co, while the endpoint is another. */
  readonly withheldToken: boolean;
  /** No request is made: only what the cache has can be used. */
  readonly offline: boolean;
  /** Of Hugging Face's tools. */
  readonly cacheFolder: string;
  /** Graft's own. */
  readonly openings: OpeningCache;
}

/**
 * The variables of huggingface_hub (its `constants.py`): `HF_ENDPOINT`; `HF_TOKEN` or the file that `hf auth login`
 * writes; `HF_HUB_OFFLINE`; `HF_HUB_CACHE`, or `hub` in `HF_HOME`, which is in `XDG_CACHE_HOME` or ~/.cache.
 *
 * `HF_TOKEN` is set along with `HF_ENDPOINT`, and goes there. The file says of no endpoint that it was written for, and
 * whoever names a mirror once needn't mean that it gets the account's token: so the file's goes to huggingface.co alone.
 */
export async function hubEnvironment(env: NodeJS.ProcessEnv = process.env): Promise<HubEnvironment> {
  const folder = (...names: string[]) =>
    names
      .map((name) => env[name])
      .find(Boolean)
      ?.replace(/^~(?=$|[/\\])/, homedir());
  const home = folder('HF_HOME') ?? join(folder('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const tokenFile = folder('HF_TOKEN_PATH') ?? join(home, 'token');
  const endpoint = env['HF_ENDPOINT'] || undefined;
  const given = env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'] || undefined;
  const ofFile = given === undefined ? await readFile(tokenFile, 'utf8').catch(() => '') : '';
  const isHuggingFace = endpoint === undefined || readEndpoint(endpoint) === HUGGING_FACE;
  return {
    endpoint,
    token: given ?? ((isHuggingFace && ofFile) || undefined),
    withheldToken: !isHuggingFace && ofFile.trim() !== '',
    offline: /^(1|on|yes|true)$/i.test(env['HF_HUB_OFFLINE'] || env['TRANSFORMERS_OFFLINE'] || ''),
    cacheFolder: folder('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    openings: openingsFolder(env),
  };
}

function readEndpoint(endpoint: string): string {
  try {
    return checkHubEndpoint(endpoint);
  } catch (error) {
    if (errorCode(error) !== 'bad-config') throw error;
    throw new GraftError('bad-config', `HF_ENDPOINT can't be used: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * A model of the Hub at the commit that `revision` stands for. Files that Hugging Face's cache has of that commit come
 * from there. Where the Hub can't be reached, the commit is what it was when it last could, files are what is kept of
 * them, and `say` is told so. `signal` ends reading, then and later.
 * @throws `network` or `not-found` where neither has it; what else the Hub answers
 */
export async function openHubModel(
  repo: string,
  revision: string,
  say: (line: string) => void,
  settings?: HubEnvironment,
  signal?: AbortSignal,
): Promise<FileSource> {
  const found = settings ?? (await hubEnvironment());
  const { endpoint, token, withheldToken, offline, cacheFolder, openings } = found;
  checkRevision(revision);
  if (offline) {
    const missing = new GraftError(
      'not-found',
      `HF_HUB_OFFLINE is set, and ${cacheFolder} has no ${repo} at revision ${revision}: unset it once to download.`,
    );
    const kept = await keptModel(repo, revision, found, missing);
    if (!kept) throw missing;
    if (!kept.hasWeights) say(`HF_HUB_OFFLINE is set, and ${kept.from} has no weights of ${repo}.`);
    return kept.source;
  }
  const client = new HubClient({
    endpoint,
    token,
    onPause: (pause) => say(describePause(pause)),
  });
  try {
    const model = await client.model(repo, revision, signal);
    // Not keeping it costs opening without a connection, and nothing now.
    const known = { commit: model.commit, seenAt: Date.now() };
    await openings.keepRevision(repositoryKey(repo, endpoint), revision, known).catch(() => undefined);
    const remote = hubSource(client, model, signal);
    const cached = await cachedSnapshot(cacheFolder, repo, model.commit);
    return cached ? preferLocal(cached, remote, (file, bytes) => isListedContent(model, file, bytes)) : remote;
  } catch (error) {
    if (withheldToken && ['no-access', 'not-found'].includes(errorCode(error) ?? ''))
      throw withoutToken(error as Error);
    if (!(error instanceof GraftError) || error.code !== 'network') throw error;
    const kept = await keptModel(repo, revision, found, error);
    if (!kept) throw error;
    const without = kept.hasWeights ? '' : ', which has no weights of it';
    say(`${error.message} Using commit ${kept.source.commit} from ${kept.from}${without}.`);
    return kept.source;
  }
}

/** A refusal that the token of the file might have been the answer to. */
function withoutToken(error: Error): GraftError {
  return new GraftError(
    errorCode(error) ?? 'no-access',
    `${error.message} The token in the file of hf auth login was not sent, for it is huggingface.co's: set HF_TOKEN to send ` +
      'one to HF_ENDPOINT.',
    { cause: error },
  );
}

interface KeptFiles {
  readonly source: FileSource;
  readonly from: string;
  /** Of an opening, Graft's cache of weights knows. */
  readonly hasWeights: boolean;
}

/** What is kept of a model at a revision, by Graft or by Hugging Face's tools; reading what is not throws `missing`. */
async function keptModel(
  repo: string,
  revision: string,
  { endpoint, cacheFolder, openings }: HubEnvironment,
  missing: GraftError,
): Promise<KeptFiles | undefined> {
  const known = isCommit(revision) ? undefined : await openings.revision(repositoryKey(repo, endpoint), revision);
  const commit = known?.commit ?? revision;
  const opening = isCommit(commit) ? await openings.opening(modelIdentity(repo, commit, endpoint)) : undefined;
  const snapshot = await cachedSnapshot(cacheFolder, repo, opening ? commit : revision);
  if (opening) {
    const source = replayedSource(opening, snapshot ?? absent(repo, commit, missing));
    return { source, from: "Graft's cache", hasWeights: true };
  }
  if (!snapshot) return undefined;
  const files = await snapshot.list();
  return { source: snapshot, from: cacheFolder, hasWeights: files.some((file) => /\.(safetensors|gguf)$/.test(file)) };
}

const repositoryKey = (repo: string, endpoint = HUGGING_FACE) => `${checkHubEndpoint(endpoint)} ${repo}`;

/** Files that are not here. */
function absent(name: string, commit: string, error: GraftError): FileSource {
  const refuse = () => Promise.reject(error);
  return { name, commit, list: refuse, size: refuse, read: refuse };
}
