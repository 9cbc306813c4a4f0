/** SentencePiece's compiled normalization: a table of replacements for short byte strings, as a double-array trie. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';

const encoder = new TextEncoder();

/** Graphemes of this many bytes or more are looked up character by character, as SentencePiece's port in Rust does. */
const MAX_GRAPHEME_BYTES = 6;

/** The longest replacement of Unicode's compatibility forms has 33 bytes (U+FDFA). */
const MAX_REPLACEMENT_BYTES = 256;

/** Undefined where the text is no base 64. */
function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** @throws `bad-config` where the table isn't one. */
export function readCharsmap(component: JsonObject): (text: string) => string {
  const encoded = component.required('precompiled_charsmap', component.string('precompiled_charsmap'));
  const bytes = decodeBase64(encoded) ?? new Uint8Array(0);
  const view = new DataView(bytes.buffer);
  const size = bytes.length < 4 ? -1 : view.getUint32(0, true);
  if (size < 4 || size % 4 !== 0 || size + 4 > bytes.length) {
    throw new GraftError('bad-config', `${component.where}: precompiled_charsmap is not a table of SentencePiece`);
  }
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = bytes.subarray(4 + size);
  const lookUp = (part: string) => {
    const start = findShortest(units, encoder.encode(part));
    if (start === undefined) return undefined;
    const end = replacements.indexOf(0, start);
    const replacement = replacements.subarray(start, end < 0 ? undefined : end);
    if (replacement.length <= MAX_REPLACEMENT_BYTES) return new TextDecoder().decode(replacement);
    throw new GraftError(
      'bad-config',
      `The tokenizer's precompiled_charsmap replaces ${quote(part)} by ${replacement.length} bytes: it is damaged.`,
    );
  };
  const known = new Map<string, string>();
  const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  return (text) => {
    let result = '';
    for (const { segment } of graphemes.segment(text)) {
      let replaced = known.get(segment);
      if (replaced === undefined) {
        const whole = encoder.encode(segment).length < MAX_GRAPHEME_BYTES ? lookUp(segment) : undefined;
        replaced = whole ?? Array.from(segment, (char) => lookUp(char) ?? char).join('');
        if (known.size < 2 ** 14) known.set(segment, replaced);
      }
      result += replaced;
    }
    return result;
  };
}

/** The value of the shortest key that `bytes` begin with. The units are those of Darts-clone. */
function findShortest(units: Uint32Array, bytes: Uint8Array): number | undefined {
  const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let position = offset(units[0]!);
  for (const byte of bytes) {
    if (byte === 0) return undefined;
    position ^= byte;
    const unit = units[position];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    position ^= offset(unit);
    if ((unit >>> 8) & 1) return units[position]! & 0x7fffffff;
  }
  return undefined;
}
