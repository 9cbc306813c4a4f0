/** Codes of 4 bits in 32-bit words, eight to a word. */

/** Which of eight neighbours each nibble of a word holds, lowest first. */
export type NibbleOrder = readonly number[];

export const IN_ORDER: NibbleOrder = [0, 1, 2, 3, 4, 5, 6, 7];

export const PER_WORD = 8;

/**
 * Packs rows of `columns` codes, eight neighbours of a row to a word: [rows, columns / 8]. `shift` is added to every code
 * before, within its four bits.
 */
export function packColumns(codes: Uint8Array, order: NibbleOrder, shift = 0): Int32Array {
  const words = new Int32Array(codes.length / PER_WORD);
  for (let i = 0; i < words.length; i++) {
    let word = 0;
    for (let k = 0; k < PER_WORD; k++) word |= ((codes[i * PER_WORD + order[k]!]! + shift) & 15) << (4 * k);
    words[i] = word;
  }
  return words;
}

export function unpackColumns(words: Int32Array, order: NibbleOrder, shift = 0): Uint8Array {
  const codes = new Uint8Array(words.length * PER_WORD);
  for (let i = 0; i < words.length; i++) {
    for (let k = 0; k < PER_WORD; k++) codes[i * PER_WORD + order[k]!] = ((words[i]! >>> (4 * k)) + shift) & 15;
  }
  return codes;
}

/** Packs rows of `columns` codes, eight rows to a word, the first lowest: [rows / 8, columns]. */
export function packRows(codes: Uint8Array, columns: number): Int32Array {
  const words = new Int32Array(codes.length / PER_WORD);
  for (let i = 0; i < codes.length; i++) {
    const row = Math.floor(i / columns);
    words[Math.floor(row / PER_WORD) * columns + (i % columns)]! |= codes[i]! << (4 * (row % PER_WORD));
  }
  return words;
}

export function unpackRows(words: Int32Array, columns: number): Uint8Array {
  const codes = new Uint8Array(words.length * PER_WORD);
  for (let i = 0; i < codes.length; i++) {
    const row = Math.floor(i / columns);
    const word = words[Math.floor(row / PER_WORD) * columns + (i % columns)]!;
    codes[i] = (word >>> (4 * (row % PER_WORD))) & 15;
  }
  return codes;
}
