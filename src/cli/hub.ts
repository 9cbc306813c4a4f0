/** Models of the Hub on the command line, set up by the environment as Hugging Face's own tools are. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import { HubClient } from '../hub/client';
import { checkRevision } from '../hub/names';
import { hubSource } from '../hub/source';
import { cachedSnapshot, preferLocal } from './hub-cache';

/** Where this run finds the Hub, the token and the cache. */
export interface HubSettings {
  readonly endpoint: string | undefined;
  readonly token: string | undefined;
  /** No request is made: only what the cache has can be used. */
  readonly offline: boolean;
  readonly cacheFolder: string;
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
  };
}

/**
 * A model of the Hub at the commit that `revision` stands for. Files that Hugging Face's cache has of that commit come
 * from there; where the Hub can't be reached, the cache's last known commit is used and `say` told so.
 * @throws `network` or `not-found` where neither has it; what else the Hub answers
 */
export async function openHubModel(
  repo: string,
  revision: string,
  say: (line: string) => void,
  settings?: HubSettings,
): Promise<FileSource> {
  const { endpoint, token, offline, cacheFolder } = settings ?? (await hubSettings());
  checkRevision(revision);
  if (offline) {
    const cached = await cachedSnapshot(cacheFolder, repo, revision);
    if (cached) return cached;
    throw new GraftError(
      'not-found',
      `HF_HUB_OFFLINE is set, and ${cacheFolder} has no ${repo} at revision ${revision}: unset it once to download.`,
    );
  }
  const client = new HubClient({
    endpoint,
    token,
    onPause: ({ ms, reason }) => say(`${reason} Trying again in ${Math.max(1, Math.round(ms / 1000))} s.`),
  });
  try {
    const model = await client.model(repo, revision);
    const remote = hubSource(client, model);
    const cached = await cachedSnapshot(cacheFolder, repo, model.commit);
    return cached ? preferLocal(cached, remote) : remote;
  } catch (error) {
    if (!(error instanceof GraftError) || error.code !== 'network') throw error;
    const cached = await cachedSnapshot(cacheFolder, repo, revision);
    if (!cached) throw error;
    say(`${error.message} Using commit ${cached.commit} from ${cacheFolder}.`);
    return cached;
  }
}
