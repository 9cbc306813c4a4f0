/** Bytes as text. */

/** A multiple of three, so that pieces join without padding between them; few enough to be arguments of one call. */
const PIECE = 24_576;

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.byteLength; at += PIECE) {
    text += btoa(String.fromCharCode(...bytes.subarray(at, at + PIECE)));
  }
  return text;
}
