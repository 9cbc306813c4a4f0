/**
 * Files on their way into large-file storage, by the Git LFS batch API (git-lfs, docs/api/batch.md) and what the Hub adds
 * to it: a file of several parts, each with an address of its own.
 */
import * as v from 'valibot';
import type { Client } from '../connections/client';
import { badAnswer, ConnectionError, type Subject } from '../connections/errors';
import type { Sending } from '../connections/request';
import { Secrets } from '../connections/secrets';
import { parseAnswer } from './listing';
import { HubRefusal, wrongParts } from './upload-refusals';
import { ask, subjectOf, type Place } from './upload-requests';

export interface LargeFile {
  readonly name: string;
  readonly blob: Blob;
  readonly sha256: string;
}

/** Objects of one question, as the Hub takes them. */
const MOST_OBJECTS = 100;
/** How often new addresses are asked for where the storage refuses the old ones. */
const ROUNDS = 3;

const LFS_JSON = { accept: 'application/vnd.git-lfs+json', 'content-type': 'application/vnd.git-lfs+json' };

const Action = v.object({
  href: v.pipe(v.string(), v.url()),
  header: v.optional(v.record(v.string(), v.union([v.string(), v.number()])), {}),
});
const Batch = v.object({
  objects: v.array(
    v.object({
      oid: v.string(),
      error: v.optional(v.object({ code: v.number(), message: v.string() })),
      actions: v.nullish(v.object({ upload: v.optional(Action), verify: v.optional(Action) })),
    }),
  ),
});
type Action = v.InferOutput<typeof Action>;
interface Actions {
  readonly upload?: Action | undefined;
  readonly verify?: Action | undefined;
}

/** The storage refuses an address that the Hub gave out: it has run out, and the Hub gives new ones. */
class AddressRefused extends ConnectionError {}

/**
 * Sends what the storage doesn't have yet. Files that are equal are one object.
 * @param onSent hears how many bytes of all files are there, as far as it can be told
 * @returns the names of those that were there already
 */
export async function sendLargeFiles(
  place: Place,
  files: readonly LargeFile[],
  onSent: (file: string, bytes: number) => void,
): Promise<string[]> {
  const objects = [...new Map(files.map((file) => [file.sha256, file])).values()];
  const present = new Set<string>();
  let done = 0;
  for (let from = 0; from < objects.length; from += MOST_OBJECTS) {
    let missing = objects.slice(from, from + MOST_OBJECTS);
    for (let round = 1; missing.length > 0; round++) {
      const actions = await askForAddresses(place, missing);
      const refused: LargeFile[] = [];
      for (const file of missing) {
        const { upload, verify } = actions.get(file.sha256) ?? {};
        if (!upload && round === 1) present.add(file.sha256);
        try {
          if (upload) await sendObject(place, file, { upload, verify }, (bytes) => onSent(file.name, done + bytes));
          done += file.blob.size;
          onSent(file.name, done);
        } catch (error) {
          if (!(error instanceof AddressRefused) || round >= ROUNDS) throw error;
          refused.push(file);
        }
      }
      missing = refused;
    }
  }
  return files.filter(({ sha256 }) => present.has(sha256)).map(({ name }) => name);
}

/** What is to be done with each object, by its hash; nothing for those that are there. */
async function askForAddresses(place: Place, files: readonly LargeFile[]): Promise<Map<string, Actions>> {
  const { repo, branch } = place;
  const subject = subjectOf(place, `room for the large files of ${repo}`);
  const answer = await ask(place, `/${repo}.git/info/lfs/objects/batch`, subject, {
    method: 'POST',
    headers: LFS_JSON,
    body: JSON.stringify({
      operation: 'upload',
      transfers: ['basic', 'multipart'],
      hash_algo: 'sha_256',
      ref: { name: branch },
      objects: files.map(({ sha256, blob }) => ({ oid: sha256, size: blob.size })),
    }),
    repeatable: true,
  });
  const { objects } = parseAnswer(Batch, answer, subject);
  const found = new Map(objects.map((object) => [object.oid, object]));
  const actions = new Map<string, Actions>();
  for (const { sha256, name } of files) {
    const object = found.get(sha256);
    if (!object) throw badAnswer(subject, `it leaves out ${name}`);
    if (object.error) throw new HubRefusal(object.error.code, '', subject.withoutSecrets(object.error.message), name);
    actions.set(sha256, object.actions ?? {});
  }
  return actions;
}

async function sendObject(
  place: Place,
  file: LargeFile,
  { upload, verify }: Actions & { readonly upload: Action },
  onSent: (bytes: number) => void,
): Promise<void> {
  const { sha256, blob } = file;
  const { chunk_size: chunkSize, ...header } = upload.header;
  if (chunkSize === undefined) {
    const sending: Sending = { method: 'PUT', headers: texts(header), body: blob, onSent };
    await sendTo(place, upload.href, file, sending);
  } else {
    await sendParts(place, file, upload, Number(chunkSize), onSent);
  }
  if (!verify) return;
  const body = JSON.stringify({ oid: sha256, size: blob.size });
  const headers = { ...LFS_JSON, ...texts(verify.header) };
  await sendTo(place, verify.href, file, { method: 'POST', headers, body, repeatable: true }, true);
}

/** One part after another: one that was cut is sent again, and none that came before it. */
async function sendParts(
  place: Place,
  file: LargeFile,
  { href, header }: Action,
  chunkSize: number,
  onSent: (bytes: number) => void,
): Promise<void> {
  const { sha256, blob, name } = file;
  const numbers = Object.keys(header)
    .filter((key) => /^\d+$/.test(key))
    .map(Number)
    .sort((a, b) => a - b);
  const isWhole = chunkSize > 0 && numbers.length === Math.ceil(blob.size / chunkSize);
  if (!isWhole || numbers.some((number, i) => number !== i + 1)) throw wrongParts(name, blob.size, numbers.length);
  const addresses = new Map(Object.entries(header).map(([key, address]) => [Number(key), String(address)]));
  const parts: { partNumber: number; etag: string }[] = [];
  for (const partNumber of numbers) {
    const start = (partNumber - 1) * chunkSize;
    const sending: Sending = {
      method: 'PUT',
      body: blob.slice(start, Math.min(blob.size, start + chunkSize)),
      onSent: (bytes) => onSent(start + bytes),
    };
    const address = addresses.get(partNumber)!;
    const etag = (await sendTo(place, address, file, sending)).get('etag');
    if (etag === null)
      throw badAnswer(storageSubject(storageAt(place, address), name), 'the ETag of a part is missing');
    parts.push({ partNumber, etag });
  }
  const body = JSON.stringify({ oid: sha256, parts });
  await sendTo(place, href, file, { method: 'POST', headers: LFS_JSON, body, repeatable: true });
}

/**
 * Sends something to an address that the Hub gave out. The address itself says who may: it gets no secret. Only where the
 * Hub itself is asked again whether a file has come (`isQuestion`) does it get its own.
 */
async function sendTo(
  place: Place,
  address: string,
  { name }: LargeFile,
  sending: Sending,
  isQuestion = false,
): Promise<Headers> {
  const { origin, pathname, search } = new URL(address);
  const isHub = isQuestion && origin === new URL(place.endpoint).origin;
  const host = isHub ? place.client.connection.at(origin) : storageAt(place, address);
  const subject = isHub ? subjectOf(place, name) : storageSubject(host, name);
  return host.send(pathname + search, isHub ? { ...subject, endpoint: origin } : subject, sending, place.signal);
}

function storageAt({ client, endpoint }: Place, address: string): Client {
  const { origin, protocol, host } = new URL(address);
  if (protocol !== 'https:' && protocol !== new URL(endpoint).protocol) {
    throw new ConnectionError(
      'bad-file',
      `${new URL(endpoint).host} wants large files sent to ${host} without encryption (${protocol}): nothing is sent there.`,
    );
  }
  return client.connection.at(origin, new Secrets());
}

/** A refusal that stays may be the address's, which runs out; a file that is too large stays too large. */
function storageSubject(storage: Client, name: string): Subject {
  const { host } = new URL(storage.endpoint);
  return storage.subject(name, {
    explain: (response, reason) =>
      response.status === 413
        ? new HubRefusal(413, '', reason, name)
        : new AddressRefused('network', `${host} answered ${response.status} for ${name}: try again later.`),
    ifUnreachable: `check the connection, and whether a firewall, proxy or blocker stops ${host}`,
  });
}

function texts(header: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(header).map(([key, value]) => [key, String(value)]));
}
