import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Tokenizer } from '../../../src/core/text';
import { TextStream } from '../../../src/recipes/steps/text-stream';

const SPECIAL = 256;

/** One token a byte, as a byte-level tokenizer at its worst; 256 is a special token. */
const bytes: Tokenizer = {
  vocabSize: 257,
  bosTokenId: undefined,
  eosTokenId: SPECIAL,
  stopTokenIds: [SPECIAL],
  padTokenId: 0,
  encode: (text) => [...new TextEncoder().encode(text)],
  locate: (text) => ({ ids: [...new TextEncoder().encode(text)], positions: [] }),
  decode: (ids, { skipSpecialTokens }) =>
    new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(ids.filter((id) => id < 256))) +
    (skipSpecialTokens || !ids.includes(SPECIAL) ? '' : '</s>'),
};

/** Whole words; a word-start mark is dropped at the very start, as SentencePiece decodes. */
const words: Tokenizer = {
  ...bytes,
  encode: () => [],
  decode: (ids) =>
    ids
      .map((id) => ['▁Once', '▁upon', '▁a', '▁time', ','][id])
      .join('')
      .replaceAll('▁', ' ')
      .replace(/^ /, ''),
};

function stream(tokenizer: Tokenizer, ids: number[], stop: string[] = [], before: number[] = []) {
  const text = new TextStream(tokenizer, stop, before);
  const pieces = ids.map((id) => text.push(id));
  const rest = text.finish();
  return { pieces, rest, text: pieces.join('') + rest, stopped: text.stopped };
}

describe('text as it comes', () => {
  test('a character leaves whole, with its last byte', () => {
    const { pieces } = stream(bytes, bytes.encode('aé€😀', { addSpecialTokens: false }));
    expect(pieces).toEqual(['a', '', 'é', '', '', '€', '', '', '', '😀']);
  });

  test('bytes that are no character come out as replacements in the end', () => {
    expect(stream(bytes, [0x61, 0xe2, 0x82]).text).toBe('a\uFFFD');
    expect(stream(bytes, [0xff, 0x61]).text).toBe('\uFFFDa');
  });

  test('a replacement that the text itself has does not break the character after it', () => {
    for (const text of ['\uFFFDé', '\uFFFD\uFFFD😀', 'a\uFFFD€b']) {
      expect(stream(bytes, bytes.encode(text, { addSpecialTokens: false })).text).toBe(text);
    }
    expect(stream(bytes, [0xff, 0xf0, 0x9f, 0x98, 0x80]).text).toBe('\uFFFD😀');
  });

  test('words keep their spaces, and the first loses its own only where nothing is before', () => {
    expect(stream(words, [0, 1, 2, 3, 4]).pieces).toEqual(['Once', ' upon', ' a', ' time', ',']);
    expect(stream(words, [1, 2], [], [0]).pieces).toEqual([' upon', ' a']);
  });

  test('a special token adds nothing', () => {
    expect(stream(bytes, [0x61, SPECIAL, 0x62]).text).toBe('ab');
  });

  test('pieces add up to the text, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.oneof(fc.string({ unit: 'grapheme', maxLength: 1 }), fc.constant('\uFFFD')) }),
        (text) => {
          expect(stream(bytes, bytes.encode(text, { addSpecialTokens: false })).text).toBe(text);
        },
      ),
    );
  });
});

describe('stop texts', () => {
  const ids = (text: string) => bytes.encode(text, { addSpecialTokens: false });

  test('the answer ends before the first, of which nothing leaves', () => {
    const { pieces, text, stopped } = stream(bytes, ids('yes\nUser: no'), ['\nUser:']);
    expect([text, stopped]).toEqual(['yes', true]);
    expect(pieces.join('')).toBe('yes');
  });

  test('what only looked like one leaves later, or in the end', () => {
    expect(stream(bytes, ids('a##b'), ['###']).text).toBe('a##b');
    expect(stream(bytes, ids('a##'), ['###']).text).toBe('a##');
  });

  test('the earliest of several counts', () => {
    expect(stream(bytes, ids('one two three'), ['three', 'two']).text).toBe('one ');
  });

  test('agrees with a search in the whole text', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 12 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 3 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(piece, stops, (text, stop) => {
        const found = stop.map((s) => text.indexOf(s)).filter((at) => at >= 0);
        // A stop text is seen when its last character comes, so a longer one that begins earlier may lose to a shorter.
        fc.pre(new Set(stop.map((s) => s.length)).size <= 1);
        expect(stream(bytes, ids(text), stop).text).toBe(found.length > 0 ? text.slice(0, Math.min(...found)) : text);
      }),
    );
  });
});
