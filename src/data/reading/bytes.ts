/** The bytes of a dataset file to its text: unpacked, and decoded in pieces of whole lines. */
import { GraftError } from '../../core/errors';
import { formatCount } from '../../core/format';
import { binaryKind } from './kinds';

export interface TextLimits {
  /** Bytes that a compressed file may unpack to. */
  readonly unpackedBytes: number;
  /** Bytes that become one string, at most. */
  readonly stringBytes: number;
  /** Bytes of a piece of a file that is larger. */
  readonly pieceBytes: number;
}

const GIB = 2 ** 30;

/** V8's strings end at 2²⁹ − 24 characters. */
export const TEXT_LIMITS: TextLimits = { unpackedBytes: GIB, stringBytes: GIB / 2 - 24, pieceBytes: GIB / 4 };

export interface TextPieces {
  readonly pieces: Iterable<string>;
  /** Whether there are several, or could be: each is of whole lines. */
  readonly isLarge: boolean;
}

/**
 * The text of a file, without its byte order mark: one piece where it is short enough, or else pieces of whole lines.
 * @throws `bad-data` with what the file is, or with the line and column of what isn't UTF-8.
 */
export async function readPieces(fileName: string, content: Uint8Array, limits = TEXT_LIMITS): Promise<TextPieces> {
  const isGzip = (bytes: Uint8Array) => bytes[0] === 0x1f && bytes[1] === 0x8b;
  const bytes = isGzip(content) ? await gunzip(fileName, content, limits.unpackedBytes) : content;
  const [first, second, third] = bytes;
  const wide = wideEncoding(bytes);
  const kind = isGzip(bytes)
    ? { what: 'is compressed twice', advice: 'Unpack it first.' }
    : wide
      ? undefined
      : binaryKind(bytes);
  if (kind) {
    throw new GraftError(
      'bad-data',
      `${fileName} ${bytes === content ? '' : 'is compressed, and inside '}${kind.what}. ${kind.advice}`,
    );
  }
  if (wide) return { pieces: [decodeWide(fileName, bytes.subarray(2), wide, limits)], isLarge: false };
  const hasMark = first === 0xef && second === 0xbb && third === 0xbf;
  const text = hasMark ? bytes.subarray(3) : bytes;
  return { pieces: decodePieces(fileName, text, limits), isLarge: text.length > limits.stringBytes };
}

/** The encoding that a byte order mark of UTF-16 says; undefined where there is none. */
export function wideEncoding([first, second, third, fourth]: Uint8Array): 'utf-16le' | 'utf-16be' | undefined {
  if (first === 0xff && second === 0xfe) return third === 0 && fourth === 0 ? undefined : 'utf-16le'; // or UTF-32
  return first === 0xfe && second === 0xff ? 'utf-16be' : undefined;
}

async function gunzip(fileName: string, bytes: Uint8Array, limit: number): Promise<Uint8Array> {
  const reader = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream('gzip'))
    .getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      chunks.push(next.value);
      length += next.value.length;
      if (length > limit) break;
    }
  } catch (cause) {
    throw new GraftError(
      'bad-data',
      `${fileName} is compressed with gzip, but damaged or cut off after ${formatCount(length)} bytes of its content: get it again.`,
      { cause },
    );
  }
  if (length > limit) {
    await reader.cancel();
    throw new GraftError(
      'bad-data',
      `${fileName} is compressed with gzip and holds more than ${formatCount(limit)} bytes: split it into smaller files.`,
    );
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function decodeWide(fileName: string, bytes: Uint8Array, encoding: string, { stringBytes }: TextLimits): string {
  if (bytes.length > 2 * stringBytes) {
    throw new GraftError('bad-data', `${fileName} is text in UTF-16 and too large to read as such: save it as UTF-8.`);
  }
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new GraftError('bad-data', `${fileName} begins as UTF-16 and isn't: save it as UTF-8.`, { cause });
  }
}

function* decodePieces(
  fileName: string,
  bytes: Uint8Array,
  { stringBytes, pieceBytes }: TextLimits,
): Generator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  for (let from = 0; from < bytes.length || from === 0;) {
    const isShort = bytes.length <= stringBytes || bytes.length - from <= pieceBytes;
    const to = isShort ? bytes.length : endOfLine(bytes, from, from + pieceBytes);
    let text: string;
    try {
      text = decoder.decode(bytes.subarray(from, to));
    } catch (cause) {
      if (to - from > stringBytes) throw tooLong(fileName);
      throw new GraftError('bad-data', `${fileName} ${describeBadByte(bytes, from)}`, { cause });
    }
    yield text;
    if (to === bytes.length) return;
    from = to;
  }
}

function tooLong(fileName: string): GraftError {
  return new GraftError(
    'bad-data',
    `${fileName} has a line that is too long to read: convert it to JSONL, one row a line.`,
  );
}

/** After the last line that ends at or before `most`; a longer line goes on to its own end. */
function endOfLine(bytes: Uint8Array, from: number, most: number): number {
  // Not after a lone \r: the \n of its pair may follow.
  const last = bytes.subarray(from, most).lastIndexOf(0x0a);
  if (last >= 0) return from + last + 1;
  const next = bytes.indexOf(0x0a, most);
  return next < 0 ? bytes.length : next + 1;
}

/** What isn't UTF-8, where, and what it looks like. `from` is a place before which all is well. */
function describeBadByte(bytes: Uint8Array, from: number): string {
  const at = firstBadByte(bytes, from);
  let line = 1;
  let lineStart = 0;
  for (let i = 0; i < at; i++) {
    if (bytes[i] === 0x0a || (bytes[i] === 0x0d && bytes[i + 1] !== 0x0a)) {
      line++;
      lineStart = i + 1;
    }
  }
  const column = new TextDecoder().decode(bytes.subarray(lineStart, at)).length + 1;
  const place = `line ${line}, column ${column}`;
  const byte = bytes[at]!;
  if (at + 4 > bytes.length && byte >= 0xc2 && bytes.subarray(at + 1).every((next) => next >> 6 === 2)) {
    return `ends in the middle of a character (${place}): it was cut off. Get it again.`;
  }
  const alone = (bytes[at + 1] ?? 0) < 0x80 && (at === 0 || bytes[at - 1]! < 0x80);
  const looks = alone
    ? `looks like ${byte < 0xa0 ? 'Windows-1252' : 'Latin-1 or Windows-1252'}`
    : 'is of another encoding';
  return `is not UTF-8: the byte 0x${byte.toString(16)} at ${place} ${looks}. Save it as UTF-8.`;
}

/** Offset of the first byte that begins no well-formed sequence (Unicode, table 3-7). */
function firstBadByte(bytes: Uint8Array, from: number): number {
  let i = from;
  while (i < bytes.length) {
    const byte = bytes[i]!;
    const length = byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
    if (length === 0) return i;
    for (let k = 1; k < length; k++) {
      const next = bytes[i + k] ?? 0;
      const least = k > 1 ? 0x80 : byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
      const most = k > 1 ? 0xbf : byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
      if (next < least || next > most) return i;
    }
    i += length;
  }
  return i;
}
