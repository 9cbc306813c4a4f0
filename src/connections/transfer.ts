/** Bytes of one file in order, over as many connections as it takes. */
import type { Client } from './client';
import { brokenOff, ConnectionError, gaveUp, type Subject } from './errors';
import { LEAST_PROGRESS } from './request';
import { changed, withoutRanges, wrongSize } from './file-errors';

export interface RemoteFile {
  /** Below the endpoint. */
  readonly path: string;
  /** As listed. */
  readonly size: number;
  readonly subject: Subject;
}

/** A server without ranges sends a file from its start; skipping more than this would be downloading it twice. */
const MOST_SKIPPED = 16 * 2 ** 20;

/**
 * Bytes `start` (inclusive) to `end` (exclusive), in pieces as they come. A transfer that breaks off or stalls is asked
 * for again from the byte where it stopped.
 * @throws `network` after several attempts without a byte; `bad-file` where the file isn't the listed one; `cancelled`
 */
export async function* transfer(
  client: Client,
  file: RemoteFile,
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const backoff = client.backoff('transfer', signal);
  const seen: ETags = new Map();
  let position = start;
  let progressed = start;
  while (position < end) {
    const request = client.request(file.subject, signal);
    try {
      const range = `bytes=${position}-${end === file.size ? '' : end - 1}`;
      const response = await request.send(file.path, { range });
      checkVersion(seen, response, file.subject);
      let at = firstByte(response, file, position);
      for await (const piece of request.body(response)) {
        const fresh = piece.subarray(Math.max(0, position - at), Math.max(0, end - at));
        at += piece.byteLength;
        if (at > file.size) throw wrongSize(file.subject, at, file.size);
        if (fresh.byteLength > 0) {
          position += fresh.byteLength;
          if (position - progressed >= LEAST_PROGRESS || position === end) {
            progressed = position;
            backoff.progress();
          }
          yield fresh;
        }
        // A body from the start may run on: one more piece tells whether the file is longer than listed.
        if (position === end && !(response.status === 200 && end === file.size)) break;
      }
      if (position < end) throw endedEarly(response, file, at);
    } catch (error) {
      request.close(); // not only after the pause
      await backoff.pause(error).catch((last: unknown) => {
        throw last instanceof ConnectionError && last.transient && backoff.isSpent
          ? gaveUp(last, position, file.size)
          : last;
      });
    } finally {
      request.close();
    }
  }
}

/** Where in the file the body begins. Throws where it can't be the listed file, or begins elsewhere. */
function firstByte(response: Response, { size, subject }: RemoteFile, position: number): number {
  if (response.status !== 206) {
    if (position > MOST_SKIPPED) throw withoutRanges(subject);
    return 0;
  }
  // A mirror that doesn't expose the header to a page is taken at its word; the file's hash will tell.
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (!range) return position;
  if (range[2] !== '*' && Number(range[2]) !== size) throw wrongSize(subject, Number(range[2]), size);
  if (Number(range[1]) !== position) throw withoutRanges(subject);
  return position;
}

/**
 * A whole file that ended as announced and yet too early is short for good. A range may be cut down by the server, and
 * a body without an announced length by anyone on the way: asking for the rest will tell.
 */
function endedEarly(response: Response, { size, subject }: RemoteFile, at: number): ConnectionError {
  const isShort = response.status !== 206 && response.headers.has('content-length');
  return isShort ? wrongSize(subject, at, size) : brokenOff(subject);
}

/** By host: two of them may name the same bytes differently. */
type ETags = Map<string, string>;

function checkVersion(seen: ETags, response: Response, subject: Subject): void {
  const etag = response.headers.get('etag');
  if (etag === null || response.url === '') return;
  const { host } = new URL(response.url);
  const first = seen.get(host) ?? etag;
  if (first !== etag) throw changed(subject);
  seen.set(host, first);
}
