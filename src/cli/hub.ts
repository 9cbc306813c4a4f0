/** Models of the Hub on the command line, set up by the environment as Hugging Face's own tools are. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import type { OpeningCache } from '../core/weight-cache';
import { HubClient } from '../hub/client';
import { checkRevision, HUGGING_FACE, isCommit, modelIdentity } from '../hub/names';
import { hubSource } from '../hub/source';
import { replayedSource } from '../storage/recording';
import { cachedSnapshot, preferLocal } from './hub-cache';
import { openingsFolder } from './opening-folder';

/** Where this run finds the Hub, the token and the cache. */
export interface HubSettings {
  readonly endpoint: string | undefined;
  readonly token: string | undefined;
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
 */
export async function hubSettings(env: NodeJS.ProcessEnv = process.env): Promise<HubSettings> {
  const folder = (...names: string[]) =>
    names
      .map((name) => env[name])
      .find(Boolean)
      ?.replace(/^~(?=$|[/\\])/, homedir());
  const home = folder('HF_HOME') ?? join(folder('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const tokenFile = folder('HF_TOKEN_PATH') ?? join(home, 'token');
  return {
    endpoint: env['HF_ENDPOINT'] || undefined,
    token:
      env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'] || (await readFile(tokenFile, 'utf8').catch(() => undefined)),
    offline: /^(1|on|yes|true)$/i.test(env['HF_HUB_OFFLINE'] || env['TRANSFORMERS_OFFLINE'] || ''),
    cacheFolder: folder('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    openings: openingsFolder(env),
  };
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
  settings?: HubSettings,
  signal?: AbortSignal,
): Promise<FileSource> {
  const found = settings ?? (await hubSettings());
  const { endpoint, token, offline, cacheFolder, openings } = found;
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
    onPause: ({ ms, reason }) => say(`${reason} Trying again in ${Math.max(1, Math.round(ms / 1000))} s.`),
  });
  try {
    const model = await client.model(repo, revision, signal);
    // Not keeping it costs opening without a connection, and nothing now.
    const known = { commit: model.commit, seenAt: Date.now() };
    await openings.keepRevision(repositoryKey(repo, endpoint), revision, known).catch(() => undefined);
    const remote = hubSource(client, model, signal);
    const cached = await cachedSnapshot(cacheFolder, repo, model.commit);
    return cached ? preferLocal(cached, remote) : remote;
  } catch (error) {
    if (!(error instanceof GraftError) || error.code !== 'network') throw error;
    const kept = await keptModel(repo, revision, found, error);
    if (!kept) throw error;
    const without = kept.hasWeights ? '' : ', which has no weights of it';
    say(`${error.message} Using commit ${kept.source.commit} from ${kept.from}${without}.`);
    return kept.source;
  }
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
  { endpoint, cacheFolder, openings }: HubSettings,
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

const repositoryKey = (repo: string, endpoint: string | undefined) => `${endpoint ?? HUGGING_FACE} ${repo}`;

/** Files that are not here. */
function absent(name: string, commit: string, error: GraftError): FileSource {
  const refuse = () => Promise.reject(error);
  return { name, commit, list: refuse, size: refuse, read: refuse };
}
