/** Bytes as byte-level tokenizers spell them: each a printable character (GPT-2's table). */

const isPrintable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;

const SPELLING: readonly string[] = (() => {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + others++));
})();

const encoder = new TextEncoder();

/** The UTF-8 of `text`, each byte spelled as a character. */
export function spellBytes(text: string): string {
  let spelled = '';
  for (const byte of encoder.encode(text)) spelled += SPELLING[byte]!;
  return spelled;
}

/** The names of the tokens that byte fallback gives, by byte: `<0xE2>`. */
export const ALL_BYTES: readonly string[] = SPELLING.map(
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** The names of the bytes of `text`. */
export function nameBytes(text: string): string[] {
  return Array.from(encoder.encode(text), (byte) => ALL_BYTES[byte]!);
}
