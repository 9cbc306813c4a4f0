/** A file that came from another host and is not the listed one. */
import { formatCount, plural } from '../core/format';
import { ConnectionError, type Subject } from './errors';

/** The file's length is not the listed one. */
export function wrongSize({ endpoint, what }: Subject, got: number, listed: number): ConnectionError {
  return new ConnectionError(
    'bad-file',
    `${hostOf(endpoint)} sent ${plural(got, 'byte')} for ${what}, which is listed with ${formatCount(listed)}: the copy there is damaged. Try another mirror, or later.`,
  );
}

export function changed({ endpoint, what }: Subject): ConnectionError {
  return new ConnectionError(
    'bad-file',
    `${what} changed on ${hostOf(endpoint)} while it was downloaded: start again.`,
  );
}

export function damaged({ endpoint, what }: Subject): ConnectionError {
  return new ConnectionError(
    'bad-file',
    `${what} came damaged from ${hostOf(endpoint)}: its hash is not the listed one. Try again, or another mirror.`,
  );
}

export function withoutRanges({ endpoint, what }: Subject): ConnectionError {
  return new ConnectionError(
    'unsupported',
    `${hostOf(endpoint)} can't send parts of ${what} (it ignores the Range header), which Graft needs: use another mirror.`,
  );
}

function hostOf(url: string): string {
  return new URL(url).host;
}
