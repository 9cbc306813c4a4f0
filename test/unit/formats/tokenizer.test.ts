import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../src/formats/model';
import { openTemplate } from '../../../src/formats/template';
import { findTurnEnd } from '../../../src/formats/turn-end';
import { openTokenizer } from '../../../src/formats/tokenizer';
import { hasReference, reference } from '../../support/reference';
import { expectError, files, folder } from './support';

/** A vocabulary of bytes, as byte-level tokenizers spell them, with two special tokens. */
function byteTokenizer(config: object, vocabulary = 'abcdefgh') {
  const special = ['<s>', '<|end|>'];
  return files({
    'tokenizer.json': {
      version: '1.0',
      added_tokens: special.map((content, id) => ({
        id,
        content,
        special: true,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
      })),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: null,
      decoder: { type: 'ByteLevel' },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries([...special, ...vocabulary].map((token, id) => [token, id])),
        merges: [],
      },
    },
    'tokenizer_config.json': config,
  });
}

describe.skipIf(!hasReference)('phi-3-mini', () => {
  it("agrees with llama.cpp's 47 vectors", async () => {
    const path = reference('tokenizers', 'phi-3-mini');
    const tokenizer = (await openTokenizer(folder(path), []))!;
    const texts = readFileSync(`${path}/ggml-vocab-phi-3.gguf.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
    const lines = readFileSync(`${path}/ggml-vocab-phi-3.gguf.out`, 'utf8').split('\n');
    expect(texts).toHaveLength(47);
    const wrong = texts.filter((text, i) => {
      const expected = lines[i]!.trim() === '' ? [] : lines[i]!.trim().split(/\s+/).map(Number);
      return tokenizer.encode(text, { addSpecialTokens: false }).join() !== expected.join();
    });
    expect(wrong).toEqual([]);
  });

  it('finds the end of a turn and keeps padding apart from it', async () => {
    const source = folder(reference('tokenizers', 'phi-3-mini'));
    const tokenizer = (await openTokenizer(source, []))!;
    const template = await openTemplate(source, tokenizer);
    const withEnd = tokenizer.withStopToken(findTurnEnd(tokenizer, template));
    expect(withEnd.stopTokenIds).toEqual([32000, 32007]); // <|endoftext|>, <|end|>
    expect(withEnd.padTokenId).toBe(0); // its pad token is its eos token
    expect(withEnd.vocabSize).toBe(32011);
  });

  it('makes the round trip of text that byte fallback spells', async () => {
    const tokenizer = (await openTokenizer(folder(reference('models', 'stories260K')), []))!;
    const text = 'Once upon a time, naïve 日本語 🙂 .';
    const ids = tokenizer.encode(text, { addSpecialTokens: true });
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(text);
    // Transformers 5.12 gives these.
    expect(tokenizer.encode('Hello world', { addSpecialTokens: true })).toEqual([346, 306, 414, 263, 304, 341]);
  });
});

describe.skipIf(!hasReference)('openModel', () => {
  it('takes a list of stop ids from the configs', async () => {
    const path = reference('models', 'stories260K');
    const { tokenizer, template } = await openModel(folder(path));
    expect(tokenizer?.stopTokenIds).toEqual([2]);
    expect(tokenizer?.bosTokenId).toBe(1);
    expect(template?.source).toBe('alpaca');
  });
});

describe('openTokenizer', () => {
  it('reads special tokens as text or as objects, and stop ids as a list', async () => {
    const tokenizer = (await openTokenizer(
      byteTokenizer({ bos_token: { content: '<s>' }, eos_token: '<|end|>' }),
      [1, 7],
    ))!;
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([0, 1]);
    expect(tokenizer.stopTokenIds).toEqual([1, 7]);
    expect(tokenizer.stopTokenIds).not.toContain(tokenizer.padTokenId);
    expect(tokenizer.addsBos).toBe(false);
  });

  it('adds BOS and EOS as tokenizer_config.json says, and never a second BOS', async () => {
    const names = { bos_token: '<s>', eos_token: '<|end|>' };
    const ids = async (config: object, text: string) =>
      (await openTokenizer(byteTokenizer({ ...names, ...config }), []))!.encode(text, { addSpecialTokens: true });
    expect(await ids({}, 'a')).toEqual([2]);
    expect(await ids({ add_bos_token: true }, 'a')).toEqual([0, 2]);
    expect(await ids({ add_bos_token: true }, '<s>a')).toEqual([0, 2]);
    expect(await ids({ add_bos_token: false, add_eos_token: true }, 'a')).toEqual([2, 1]);
  });

  it('has one BOS in a rendered conversation, which brings its own', async () => {
    const source = byteTokenizer({ bos_token: '<s>', eos_token: '<|end|>', add_bos_token: true });
    const tokenizer = (await openTokenizer(source, []))!;
    const text = (await openTemplate(source, tokenizer)).render(
      { messages: [{ role: 'user', content: 'a' }] },
      {
        addGenerationPrompt: true,
      },
    );
    for (const addSpecialTokens of [false, true]) {
      expect(tokenizer.encode(text, { addSpecialTokens }).filter((id) => id === 0)).toHaveLength(1);
    }
  });

  it('never pads with a token that ends a turn', async () => {
    const tokenizer = (await openTokenizer(byteTokenizer({ eos_token: '<|end|>', pad_token: '<|end|>' }), [0]))!;
    expect(tokenizer.stopTokenIds).toEqual([1, 0]);
    expect([0, 1]).not.toContain(tokenizer.padTokenId);
  });

  it('decodes nothing, ids beyond the vocabulary, and special tokens', async () => {
    const tokenizer = (await openTokenizer(byteTokenizer({ eos_token: '<|end|>' }), []))!;
    expect(tokenizer.decode([], { skipSpecialTokens: true })).toBe('');
    expect(tokenizer.decode([2, 500, 3, 1], { skipSpecialTokens: true })).toBe('ab');
    expect(tokenizer.decode([2, 3, 1], { skipSpecialTokens: false })).toBe('ab<|end|>');
  });

  it('refuses a tokenizer of an unknown kind', async () => {
    const strange = files({ 'tokenizer.json': { model: { type: 'Strange' } } });
    await expectError(() => openTokenizer(strange, []), 'unsupported', /tokenizer\.json of test-model/);
  });

  it('is undefined without a tokenizer.json', async () => {
    expect(await openTokenizer(files({}), [])).toBeUndefined();
  });
});
