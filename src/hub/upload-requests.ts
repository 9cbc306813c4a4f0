/** What a Hub is asked on the way of files to a repository, and its answers, checked field by field. */
import * as v from 'valibot';
import { badAnswer, ConnectionError, type Subject } from '../connections/errors';
import type { Sending } from '../connections/request';
import { toBase64 } from '../core/base64';
import { encodeUtf8 } from '../core/store';
import type { HubClient } from './client';
import { parseAnswer, readRepo, type HubRepo } from './listing';
import { HubRefusal, type Destination, type TokenOwner } from './upload-refusals';

/** A file as it will be called in the repository. */
export interface UploadFile {
  readonly name: string;
  readonly blob: Blob;
}

/** A repository's branch, and how it is asked. */
export interface Place extends Destination {
  readonly client: HubClient;
  readonly signal: AbortSignal | undefined;
}

/** How a file is to be sent. */
export type UploadMode = 'large' | 'regular' | 'ignored';

/** The beginning of each file, by which the Hub tells text from the rest. */
const SAMPLE_BYTES = 512;

/** The branch as it is. @throws `HubRefusal` where there is none such, or no such repository */
export async function askRepo(place: Place): Promise<HubRepo> {
  const subject = subjectOf(place, `the files of ${place.repo}`);
  const json = await ask(place, `${api(place)}/revision/${encodeURIComponent(place.branch)}?blobs=true`, subject, {});
  return readRepo(json, place.branch, subject);
}

/** Makes the repository. False where the Hub says that there is one of the name. */
export async function createRepo(place: Place, isPrivate: boolean): Promise<boolean> {
  const [organization, name] = place.repo.split('/');
  const body = { type: 'model', name, organization, private: isPrivate };
  try {
    await ask(place, '/api/repos/create', subjectOf(place, place.repo), post(body));
    return true;
  } catch (error) {
    if (error instanceof HubRefusal && error.status === 409) return false;
    throw error;
  }
}

/** Makes the branch, as a copy of `main`. */
export async function createBranch(place: Place): Promise<void> {
  const { branch, client, repo, signal } = place;
  const path = `${api(place)}/branch/${encodeURIComponent(branch)}`;
  try {
    await client.connection.send(path, subjectOf(place, `the branch ${branch} of ${repo}`), post({}), signal);
  } catch (error) {
    if (!(error instanceof HubRefusal && error.status === 409)) throw error;
  }
}

/**
 * What the Hub finds wrong in a model card's front matter, before anything is sent; undefined where nothing is, or where it
 * checks none.
 */
export async function checkCard(place: Place, content: string): Promise<string | undefined> {
  const subject = subjectOf(place, 'the model card');
  try {
    await ask(place, '/api/validate-yaml', subject, post({ repoType: 'model', content }));
    return undefined;
  } catch (error) {
    if (error instanceof HubRefusal) return error.status === 400 ? error.reason : undefined;
    throw error;
  }
}

const Modes = v.object({
  files: v.array(
    v.object({
      path: v.string(),
      uploadMode: v.picklist(['lfs', 'regular']),
      shouldIgnore: v.fallback(v.boolean(), false),
    }),
  ),
});

/** How each file is to be sent, by its name. */
export async function askModes(place: Place, files: readonly UploadFile[]): Promise<Map<string, UploadMode>> {
  const subject = subjectOf(place, `room in ${place.repo}`);
  const described = await Promise.all(
    files.map(async ({ name, blob }) => ({
      path: name,
      size: blob.size,
      sample: toBase64(new Uint8Array(await blob.slice(0, SAMPLE_BYTES).arrayBuffer())),
    })),
  );
  const path = `${api(place)}/preupload/${encodeURIComponent(place.branch)}`;
  const answer = parseAnswer(Modes, await ask(place, path, subject, post({ files: described })), subject);
  const modes = new Map<string, UploadMode>(
    answer.files.map(({ path: name, uploadMode, shouldIgnore }) => [
      name,
      shouldIgnore ? 'ignored' : uploadMode === 'lfs' ? 'large' : 'regular',
    ]),
  );
  for (const { name, blob } of files) {
    if (!modes.has(name)) throw badAnswer(subject, `it leaves out ${name}`);
    // Large-file storage has no empty objects.
    if (blob.size === 0 && modes.get(name) === 'large') modes.set(name, 'regular');
  }
  return modes;
}

const Committed = v.object({ commitOid: v.string() });

export interface CommittedFiles {
  readonly message: string;
  readonly regular: readonly UploadFile[];
  readonly large: readonly { readonly name: string; readonly size: number; readonly sha256: string }[];
}

/**
 * Makes one commit of all files, and gives its hash. It is asked for once: whether it happened where no answer came, the
 * caller finds out.
 * @throws `ConnectionError` that `mayHaveActed`
 */
export async function commitFiles(place: Place, { message, regular, large }: CommittedFiles): Promise<string> {
  const subject = subjectOf(place, `the commit to ${place.repo}`);
  const lines: object[] = [{ key: 'header', value: { summary: message, description: '' } }];
  for (const { name, blob } of regular) {
    const content = toBase64(new Uint8Array(await blob.arrayBuffer()));
    lines.push({ key: 'file', value: { path: name, content, encoding: 'base64' } });
  }
  for (const { name, size, sha256 } of large) {
    lines.push({ key: 'lfsFile', value: { path: name, algo: 'sha256', oid: sha256, size } });
  }
  const sending: Sending = {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: new Blob([encodeUtf8(lines.map((line) => JSON.stringify(line)).join('\n')) as Uint8Array<ArrayBuffer>]),
  };
  const path = `${api(place)}/commit/${encodeURIComponent(place.branch)}`;
  try {
    return parseAnswer(Committed, await ask(place, path, subject, sending), subject).commitOid;
  } catch (error) {
    if (!(error instanceof HubRefusal) || ![409, 412].includes(error.status)) throw error;
    const { host } = new URL(place.endpoint);
    throw new ConnectionError('network', `${host} took another commit to ${place.repo} meanwhile.`, {
      transient: true,
      mayHaveActed: true,
      cause: error,
    });
  }
}

const Owner = v.object({
  name: v.string(),
  orgs: v.fallback(v.array(v.object({ name: v.string() })), []),
  auth: v.fallback(v.object({ accessToken: v.object({ role: v.optional(v.string()) }) }), { accessToken: {} }),
});

/** Whose token it is. */
export async function askOwner(place: Place): Promise<TokenOwner> {
  const subject = subjectOf(place, "the token's account");
  const { name, orgs, auth } = parseAnswer(Owner, await ask(place, '/api/whoami-v2', subject, {}), subject);
  return { name, organizations: orgs.map((org) => org.name), role: auth.accessToken.role };
}

/** What a request is for; every refusal that stays is a `HubRefusal`. */
export function subjectOf({ client }: Place, what: string): Subject {
  return {
    ...client.subject(what),
    explain: (response, reason) =>
      new HubRefusal(response.status, response.headers.get('x-error-code') ?? '', reason, what),
  };
}

/** As a part of long work: it is tried again for about a minute. */
export function ask({ client, signal }: Place, path: string, subject: Subject, sending: Sending): Promise<unknown> {
  return client.connection.json(path, subject, sending, signal, 'transfer');
}

/** Of requests that change nothing, or the same when heard twice. */
function post(body: object): Sending {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    repeatable: true,
  };
}

function api({ repo }: Place): string {
  return `/api/models/${repo}`;
}
