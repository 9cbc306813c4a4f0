/** Bytes as byte-level tokenizers spell them: each a printable character (GPT-2's table). */

const isPrintable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;

const SPELLING: readonly string[] = (() => {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + others++));
})();

const encoder = new TextEncoder();

const SPELLING_CODES = Uint16Array.from(SPELLING, (character) => character.charCodeAt(0));

/** Characters that are put together at once: one by one they take 32 bytes each until the text is looked at. */
const SPELLED_AT_ONCE = 4096;

/** The UTF-8 of `text`, each byte spelled as a character. */
export function spellBytes(text: string): string {
  const bytes = encoder.encode(text);
  if (bytes.length <= 64) {
    let spelled = '';
    for (const byte of bytes) spelled += SPELLING[byte]!;
    return spelled;
  }
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += SPELLED_AT_ONCE) {
    const codes = Uint16Array.from(bytes.subarray(at, at + SPELLED_AT_ONCE), (byte) => SPELLING_CODES[byte]!);
    parts.push(String.fromCharCode(...codes));
  }
  return parts.join('');
}

/** The names of the tokens that byte fallback gives, by byte: `<0xE2>`. */
export const ALL_BYTES: readonly string[] = SPELLING.map(
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** The names of the bytes of `text`. */
export function nameBytes(text: string): string[] {
  return Array.from(encoder.encode(text), (byte) => ALL_BYTES[byte]!);
}

export function isByteName(token: string): boolean {
  return token.length === 6 && /^<0x[0-9A-F]{2}>$/.test(token);
}

/** The length of `text` in UTF-8. */
export function countBytes(text: string): number {
  return encoder.encode(text).length;
}

const BYTES: ReadonlyMap<string, number> = new Map(SPELLING.map((char, byte) => [char, byte]));

/** The bytes that the characters of `token` spell; of a `plain` token, and of one that spells none, its own in UTF-8. */
export function readSpelledBytes(token: string, plain: boolean): Uint8Array {
  if (plain) return encoder.encode(token);
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTES.get(token[i]!);
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
