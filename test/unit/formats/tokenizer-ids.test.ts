/** Ids are those of the Rust tokenizers library, and places are where encoding each prefix finds them. */
import fc from 'fast-check';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { TokenPosition } from '../../../src/core/text';
import { openTokenizer, type HubTokenizer } from '../../../src/formats/tokenizer';
import { hasReference, reference } from '../../support/reference';
import { expectError, files, folder } from './support';

interface Golden {
  readonly models: Readonly<Record<string, object>>;
  readonly cases: readonly {
    readonly model: string;
    readonly options: object;
    readonly set: object;
    readonly added_tokens: readonly object[];
    readonly texts: readonly string[];
    readonly ids: readonly (readonly number[])[];
  }[];
}

interface EmptyMatches {
  readonly regex: string;
  readonly behavior: string;
  readonly texts: readonly string[];
  readonly ids: readonly (readonly number[])[];
}

const golden = JSON.parse(readFileSync('test/golden/token_ids.json', 'utf8')) as Golden;
const encode = (tokenizer: HubTokenizer, text: string) => tokenizer.encode(text, { addSpecialTokens: false });

async function open(tokenizer: object): Promise<HubTokenizer> {
  return (await openTokenizer(files({ 'tokenizer.json': tokenizer }), []))!;
}

function openCase(item: Golden['cases'][number]): Promise<HubTokenizer> {
  const { model, options, set, added_tokens } = item;
  return open({ added_tokens, decoder: null, model: { ...golden.models[model], ...options }, ...set });
}

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };

/** The first id behind that model's vocabulary. */
const NEXT = Object.keys((golden.models['bytes'] as { vocab: object }).vocab).length;

/** A model of the golden file that spells bytes, with added tokens. */
function openBytes(added: readonly object[], set: object = {}): Promise<HubTokenizer> {
  return open({
    added_tokens: added.map((token, i) => ({ id: 1000 + i, ...flags, ...token })),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    decoder: { type: 'ByteLevel' },
    model: golden.models['bytes'],
    ...set,
  });
}

/** The meaning of a place, by encoding each prefix. */
function locateSlowly(tokenizer: HubTokenizer, text: string, offsets: readonly number[]): TokenPosition[] {
  const ids = encode(tokenizer, text);
  return offsets.map((offset) => {
    const prefix = encode(tokenizer, text.slice(0, offset));
    const differs = prefix.findIndex((id, i) => id !== ids[i]);
    return { before: differs < 0 ? prefix.length : differs, straddled: differs >= 0 };
  });
}

/** All places of a text that don't part a surrogate pair. */
function placesOf(text: string): number[] {
  let offset = 0;
  return [0, ...Array.from(text, (char) => (offset += char.length))];
}

describe('ids', () => {
  it.each(golden.cases.map((item, i) => [i, item.model, item] as const))('case %i: %s', async (_i, _model, item) => {
    const tokenizer = await openCase(item);
    expect(item.texts.map((text) => encode(tokenizer, text))).toEqual(item.ids);
    // A second time from the caches.
    expect(item.texts.map((text) => encode(tokenizer, text))).toEqual(item.ids);
  });

  const field = '../shared/field/tokenizers.json';
  it.skipIf(!hasReference || !existsSync(field))('of patched tokenizers of the field', async () => {
    interface Case {
      readonly name: string;
      readonly base: string;
      readonly patch: { readonly set?: object; readonly add?: readonly object[] };
      readonly texts: readonly string[];
      readonly ids: readonly (readonly number[])[];
    }
    for (const { name, base, patch, texts, ids } of JSON.parse(readFileSync(field, 'utf8')) as Case[]) {
      const path = reference(base === 'stories260K' ? 'models' : 'tokenizers', base, 'tokenizer.json');
      const file = JSON.parse(readFileSync(path, 'utf8'));
      const added = [...file.added_tokens];
      const known = [...Object.values<number>(file.model.vocab), ...added.map(({ id }: { id: number }) => id)];
      const next = known.reduce((most, id) => Math.max(most, id), 0) + 1;
      patch.add?.forEach((token, i) => added.push({ id: next + i, ...token }));
      const tokenizer = await open({ ...file, ...patch.set, added_tokens: added });
      expect(
        texts.map((text) => encode(tokenizer, text)),
        name,
      ).toEqual(ids);
    }
  });

  it('are not shared between calls', async () => {
    const tokenizer = await openBytes([]);
    const text = 'a text that is long enough to be kept as a whole';
    const ids = encode(tokenizer, text);
    const copy = [...ids];
    ids.fill(0);
    expect(encode(tokenizer, text)).toEqual(copy);
    tokenizer.locate(text, [3]).ids.fill(0);
    expect(tokenizer.locate(text, []).ids).toEqual(copy);
  });

  it('of one long word take the time of a heap, not of its square', async () => {
    const tokenizer = await openBytes([]);
    const word = 'graph'.repeat(40_000);
    const ids = encode(tokenizer, word);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(word);
    expect(new Set(ids).size).toBeLessThan(12);
  });
});

describe('places', () => {
  const cases = golden.cases.filter(({ added_tokens }) => added_tokens.length === 0);
  it.each(cases.map((item, i) => [i, item.model, item] as const))('case %i: %s', async (_i, _model, item) => {
    const tokenizer = await openCase(item);
    const text = item.texts.join('');
    const { ids, positions } = tokenizer.locate(text, placesOf(text));
    expect(ids).toEqual(encode(tokenizer, text));
    expect(positions).toEqual(locateSlowly(tokenizer, text, placesOf(text)));
  });

  it('in random texts are those of the prefixes', async () => {
    const starter = (await openTokenizer(folder('public/models/starter'), []))!;
    const marks = await openCase({ ...golden.cases[0]!, model: 'bpe', options: {}, set: {}, added_tokens: [] });
    const words = fc.constantFrom(
      ' ',
      '  ',
      '\n',
      'the',
      'The',
      "'ll",
      '12',
      '3',
      'é',
      'e\u0301',
      '漢',
      '🙂',
      '.',
      '▁',
    );
    const text = fc.array(words, { maxLength: 60 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (random) => {
        for (const tokenizer of [starter, marks]) {
          const offsets = placesOf(random);
          expect(tokenizer.locate(random, offsets).positions).toEqual(locateSlowly(tokenizer, random, offsets));
        }
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('at and in added tokens', async () => {
    const tokenizer = await openBytes([{ content: '<end>' }, { content: '<think>', lstrip: true, rstrip: true }]);
    const text = 'ab<end>ab  <think> \nab';
    const { ids, positions } = tokenizer.locate(text, [2, 4, 7, 9, 10, 11, 15, 18, 19, 20, text.length]);
    const [first, ...rest] = [
      encode(tokenizer, 'ab'),
      NEXT,
      encode(tokenizer, 'ab'),
      NEXT + 1,
      encode(tokenizer, 'ab'),
    ];
    expect(ids).toEqual([first, ...rest].flat());
    const n = encode(tokenizer, 'ab').length;
    expect(positions).toEqual([
      { before: n, straddled: false },
      { before: n, straddled: true },
      { before: n + 1, straddled: false },
      { before: 2 * n + 1, straddled: false },
      { before: 2 * n + 1, straddled: true },
      { before: 2 * n + 1, straddled: true },
      { before: 2 * n + 1, straddled: true },
      { before: 2 * n + 2, straddled: false },
      { before: 2 * n + 2, straddled: false },
      { before: 2 * n + 2, straddled: false },
      { before: 3 * n + 2, straddled: false },
    ]);
  });

  it('in a very long word are where its tokens end', async () => {
    const tokenizer = await openBytes([]);
    const word = 'graph漢é'.repeat(1000);
    const text = `the ${word} the`;
    const ids = encode(tokenizer, ` ${word}`);
    let spelled = 0;
    const ends = ids.map((id) => (spelled += tokenizer.tokenAt(id)!.length));
    const offsets = [3, 5, 9, 10, 2500, 2503, 6999, 7003, 7004];
    const { positions } = tokenizer.locate(text, offsets);
    const n = encode(tokenizer, 'the').length;
    offsets.forEach((offset, i) => {
      const bytes = new TextEncoder().encode(text.slice(3, offset)).length;
      const before = n + ends.filter((end) => end <= bytes).length;
      expect([offset, positions[i]]).toEqual([offset, { before, straddled: bytes > 0 && !ends.includes(bytes) }]);
    });
  });

  it("follow the whole text's added tokens, not those of a prefix", async () => {
    const tokenizer = await openBytes([
      { content: '<tool>' },
      { content: '<tool>s' },
      { content: 'ab', single_word: true },
    ]);
    expect(tokenizer.locate('<tool>s', [6]).positions).toEqual([{ before: 0, straddled: true }]);
    // Up to here the text ends with a word, but in the whole it goes on.
    const { ids, positions } = tokenizer.locate('abba', [2]);
    expect(ids).not.toContain(1002);
    expect(positions[0]!.before).toBeLessThan(ids.length);
  });
});

describe('openTokenizer', () => {
  it('refuses by name what it has no code for', async () => {
    const unknown = { type: 'Strange' };
    for (const key of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder', 'model']) {
      const source = files({
        'tokenizer.json': { added_tokens: [], decoder: null, model: golden.models['bytes'], [key]: unknown },
      });
      await expectError(() => openTokenizer(source, []), 'unsupported', /tokenizer\.json of test-model .*Strange/);
    }
    const scripts = { pre_tokenizer: { type: 'UnicodeScripts' }, model: golden.models['bytes'], decoder: null };
    await expectError(() => open(scripts), 'unsupported', /UnicodeScripts/);
    const dropout = { model: { ...golden.models['bytes'], dropout: 0.1 }, decoder: null };
    await expectError(() => open(dropout), 'unsupported', /dropout/);
    const regex = { type: 'Split', pattern: { Regex: '(?<a' }, behavior: 'Isolated', invert: false };
    await expectError(() => open({ pre_tokenizer: regex, model: golden.models['bytes'] }), 'unsupported', /\(\?<a/);
  });

  it('refuses merges and vocabularies that do not fit', async () => {
    const bad = (model: object) => open({ decoder: null, model: { type: 'BPE', ...model } });
    await expectError(() => bad({ vocab: { a: 0, b: 1 }, merges: ['a b'] }), 'bad-config', /"ab"/);
    await expectError(() => bad({ vocab: { a: 0.5 }, merges: [] }), 'bad-config', /"a"/);
    await expectError(() => bad({ vocab: { a: 0 }, merges: ['a'] }), 'bad-config', /merges/);
  });

  it('gives added tokens the ids that Rust gives them, whatever the file says', async () => {
    const plain = await openBytes([]);
    const [id] = encode(plain, 'the');
    const content = plain.tokenAt(id!)!;
    const tokenizer = await openBytes([{ content: '<end>' }, { content }, { content: '<think>' }]);
    expect(encode(tokenizer, `<think>${content}<end>`)).toEqual([NEXT + 1, id, NEXT]);
  });

  it.each(
    (JSON.parse(readFileSync('test/golden/empty_matches.json', 'utf8')) as EmptyMatches[]).map(
      (item) => [item.regex, item.behavior, item] as const,
    ),
  )('splits where %s matches between two characters, %s', async (regex, behavior, { texts, ids }) => {
    const split = { type: 'Split', pattern: { Regex: regex }, behavior, invert: false };
    const spell = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
    const starter = JSON.parse(readFileSync('public/models/starter/tokenizer.json', 'utf8'));
    const tokenizer = await open({ ...starter, pre_tokenizer: { type: 'Sequence', pretokenizers: [split, spell] } });
    expect(texts.map((text) => encode(tokenizer, text))).toEqual(ids);
  });

  it("has the vocabulary's own spelling of ids", async () => {
    const tokenizer = await openBytes([{ content: '<end>' }]);
    const [id] = encode(tokenizer, ' the');
    expect([tokenizer.tokenAt(id!), tokenizer.tokenAt(NEXT), tokenizer.tokenAt(5000)]).toEqual([
      'Ġthe',
      '<end>',
      undefined,
    ]);
  });

  it('puts special tokens around a text as the post-processor says', async () => {
    const around = async (post_processor: object, text = 'ab') => {
      const tokenizer = await openBytes([{ content: '<s>' }, { content: '</s>' }], { post_processor });
      const ids = tokenizer.encode(text, { addSpecialTokens: true });
      return [ids[0], ids.at(-1), ids.length - encode(tokenizer, text).length];
    };
    const template = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: 'X', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { X: { id: 'X', ids: [NEXT, NEXT + 1], tokens: ['<s>', '</s>'] } },
    };
    const last = (await openBytes([])).encode('ab', { addSpecialTokens: true }).at(-1);
    expect(await around(template)).toEqual([NEXT, last, 2]);
    expect(await around({ type: 'RobertaProcessing', cls: ['<s>', NEXT], sep: ['</s>', NEXT + 1] })).toEqual([
      NEXT,
      NEXT + 1,
      2,
    ]);
    const both = { type: 'Sequence', processors: [{ type: 'ByteLevel', trim_offsets: true }, template] };
    expect(await around(both)).toEqual([NEXT, last, 2]);
  });
});

describe('decoders', () => {
  const decode = async (decoder: object | null, tokens: readonly string[]) => {
    const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
    const tokenizer = await open({ decoder, model: { type: 'BPE', vocab, merges: [] } });
    return tokenizer.decode(
      tokens.map((token) => vocab[token]!),
      { skipSpecialTokens: false },
    );
  };
  const steps = (...decoders: object[]) => ({ type: 'Sequence', decoders });
  const metaspace = (prepend_scheme: string) => ({ type: 'Metaspace', replacement: '▁', prepend_scheme });

  // The Rust library gives these.
  it.each([
    ['bytes that are not UTF-8', steps({ type: 'ByteFallback' }), ['a', '<0x86>', '<0x4F>', 'b'], 'a\ufffd\ufffdb'],
    ['a byte order mark', steps({ type: 'ByteFallback' }), ['a', '<0xEF>', '<0xBB>', '<0xBF>', 'b'], 'a\ufeffb'],
    ['marks of spaces, one put before', metaspace('always'), ['▁a', '▁b'], 'a b'],
    ['marks of spaces, none put before', metaspace('never'), ['▁a', '▁b'], ' a b'],
    ['a space that is no mark', steps({ type: 'ByteFallback' }, metaspace('always')), ['<0x20>', '▁b'], '  b'],
    ['pieces of words', { type: 'WordPiece', prefix: '##', cleanup: true }, ['do', '##g', '.', 'a'], 'dog. a'],
    ['ends of words', { type: 'BPEDecoder', suffix: '</w>' }, ['do', 'g</w>', 'a</w>'], 'dog a'],
    ['nothing', null, ['a', 'b'], 'a b'],
  ])('%s', async (_name, decoder, tokens, text) => {
    expect(await decode(decoder, tokens)).toBe(text);
  });
});

describe('normalizers', () => {
  it("replaces by SentencePiece's compiled table as the Rust library does", async () => {
    // Its rules are for ﬁ, Å, é, ① and \r\n, a joiner that vanishes, and ab, which is no grapheme and stays.
    const charsmap =
      'AAQAAAAwAAANJAAACgUAAAEAAIBiBQAABQAAgAcAAIDMOAIAgQUAAA8AAICAMAIAjRkAAKsNAAAAAACAhKQCAAwAAICgBQAAAwAAgIKoAgCrkAMA4wwCAIJoAgCZBQAAEgAAgKwAAgCBDQAACQAAgJGsAgAdAAAAHAAAAB8AAAAeAAAAIQAAACAAAAAjAAAAIgAAACUAAAAkAAAAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAAwAAAAMwAAADIAAAA1AAAANAAAADcAAAA2AAAAOQAAADgAAAA7AAAAOgAAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAASwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAAAFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAGOBAQBmAAAAaQAAAGWIAgBrAAAAagAAAG0AAABhLAAAbwAAAG4AAABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACDAAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAAlAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAApQAAAKQAAACnAAAApgAAAKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AAAAuAAAALsAAAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADGAAAAyQAAAMgAAADLAAAAygAAAM0AAADMAAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA4QAAAOAAAADjAAAA71wBAOUAAADkAAAA5wAAAOYAAADpAAAA6AAAAOsAAADqAAAA7QAAAOwAAADikAEA4/wBAPEAAADwAAAA8wAAAPIAAAD1AAAA9AAAAPcAAAD2AAAA+QAAAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAACgAxAFgAWQBmaQDDhQDDqQDjgqwA';
    const texts = [
      '\ufb01ne \u212b cafe\u0301',
      'a\r\nb\rc\n',
      'ab abc abcd xab',
      '\u2460\u2461 \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 x\u200dy',
      '\u30ab\u3099\u30ab',
      'e\u0301\u0323 e\u0323\u0301',
      '\uff21\uff22\u3000\u00a0x\u2003',
      '\u1112\u1161\u11ab \uc548',
      '\u0939\u093f \u0e01\u0e33 \u00bd \u2122',
      '\ufdfa \u33a1 ~\uff5e',
    ];
    const normalized = [
      'fine \u00c5 caf\u00e9',
      'a\nb\rc\n',
      'ab abc abcd xab',
      '1\u2461 \ud83d\udc69\ud83d\udc69\ud83d\udc67 xy',
      '\u30ab\u3099\u30ab',
      '\u00e9 e\u0323\u0301',
      '\uff21\uff22\u3000\u00a0x\u2003',
      '\u1112\u1161\u11ab \uc548',
      '\u0939\u093f \u0e01\u0e33 \u00bd \u2122',
      '\ufdfa \u33a1 ~\uff5e',
    ];
    const normalizer = { type: 'Precompiled', precompiled_charsmap: charsmap };
    const vocab = Object.fromEntries(Array.from(new Set(normalized.join('')), (char, id) => [char, id]));
    const model = { type: 'BPE', vocab, merges: [] };
    const tokenizer = await open({ normalizer, model, decoder: { type: 'Fuse' } });
    const round = (text: string) => tokenizer.decode(encode(tokenizer, text), { skipSpecialTokens: false });
    expect(texts.map(round)).toEqual(normalized);
  });
});
