/** Tokenizers in GGUF metadata; those of real models are in tokenizer-vectors.test.ts. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { tokenizerOf } from '../../../src/formats/gguf';
import { JsonObject } from '../../../src/formats/json';
import { openTemplate } from '../../../src/formats/template';
import { openTokenizer, type HubTokenizer } from '../../../src/formats/tokenizer';
import { expectError, files, folder } from './support';

const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;

/** Metadata under `tokenizer.`, and what it says as the files of a model folder. */
function folderOf(fields: Record<string, unknown>) {
  const named = Object.entries(fields).map(([key, value]) => [`tokenizer.${key}`, value] as const);
  const text = tokenizerOf(new JsonObject('m.gguf', Object.fromEntries(named)))!;
  return files({
    'tokenizer.json': text.tokenizer,
    'tokenizer_config.json': text.config,
    'generation_config.json': text.generation,
  });
}

const open = async (fields: Record<string, unknown>): Promise<HubTokenizer> =>
  (await openTokenizer(folderOf(fields), []))!;
const plain = (tokenizer: HubTokenizer, text: string) => tokenizer.encode(text, { addSpecialTokens: false });

describe('byte-level BPE', async () => {
  const starter = JSON.parse(readFileSync('public/models/starter/tokenizer.json', 'utf8')) as {
    model: { vocab: Record<string, number>; merges: [string, string][] };
    added_tokens: { id: number }[];
  };
  const tokens = Object.entries(starter.model.vocab).sort((a, b) => a[1] - b[1]);
  const special = new Set(starter.added_tokens.map(({ id }) => id));
  const metadata = {
    'ggml.model': 'gpt2',
    'ggml.pre': 'gpt-2',
    'ggml.tokens': tokens.map(([token]) => token),
    'ggml.token_type': tokens.map(([, id]) => (special.has(id) ? CONTROL : NORMAL)),
    'ggml.merges': starter.model.merges.map(([left, right]) => `${left} ${right}`),
    'ggml.eos_token_id': 2,
    'ggml.padding_token_id': 0,
    chat_template: '{{ eos_token }}{{ messages[0].content }}',
  };
  const hub = (await openTokenizer(folder('public/models/starter'), []))!;

  it("gives the ids of the model's own tokenizer.json", async () => {
    const tokenizer = await open(metadata);
    const texts = [
      "Once upon a time, she'll say:\n\n  naïve 日本語 🙂 12,345",
      '<|user|>Hi<|end|> x',
      '',
      '   ',
      '\t\r\n',
    ];
    for (const text of texts) {
      expect(plain(tokenizer, text), text).toEqual(plain(hub, text));
      expect(tokenizer.decode(plain(hub, text), { skipSpecialTokens: false })).toBe(text);
    }
    expect(tokenizer.vocabSize).toBe(hub.vocabSize);
    expect([tokenizer.eosTokenId, tokenizer.padTokenId]).toEqual([2, 0]);
  });

  it('brings the chat template, and stops at every id that ends a turn', async () => {
    const source = folderOf({ ...metadata, 'ggml.eos_token_id': 1, 'ggml.eot_token_id': 2 });
    const template = await openTemplate(source, (await openTokenizer(source, []))!);
    expect(template.render({ messages: [{ role: 'user', content: 'a' }] }, { addGenerationPrompt: true })).toBe(
      '<|endoftext|>a',
    );
    const generation = JSON.parse(Buffer.from(await source.read('generation_config.json')).toString()) as object;
    expect(generation).toEqual({ eos_token_id: [1, 2] });
  });

  it('starts a text with BOS where the file says so, or the kind of tokenizer does', async () => {
    const first = async (change: object) =>
      (await open({ ...metadata, 'ggml.bos_token_id': 1, ...change })).encode('a', { addSpecialTokens: true })[0];
    const [a] = plain(hub, 'a');
    expect(await first({})).toBe(a);
    expect(await first({ 'ggml.add_bos_token': true })).toBe(1);
    expect(await first({ 'ggml.pre': 'llama-bpe' })).toBe(1);
    expect(await first({ 'ggml.pre': 'llama-bpe', 'ggml.add_bos_token': false })).toBe(a);
  });

  it('cuts numbers as the names say', async () => {
    const digits: Record<string, string[]> = {
      'gpt-2': ['a', ' 12345'],
      starcoder: ['a', ' ', '1', '2', '3', '4', '5'],
      'llama-bpe': ['a', ' ', '123', '45'],
      qwen2: ['a', ' ', '1', '2', '3', '4', '5'],
      tekken: ['a', ' ', '1', '2', '3', '4', '5'],
    };
    // Merges join whatever a cut leaves whole, so the tokens show where the text was cut.
    const pieces = [...new Set(Object.values(digits).flat())].map((piece) => piece.replace(' ', 'Ġ'));
    const vocabulary = [...new Set([...'aĠ12345', ...pieces])];
    const merges = ['1 2', '12 3', '4 5', '123 45', 'Ġ 12345'];
    const whole = [...vocabulary, '12', '12345'].filter((token, i, all) => all.indexOf(token) === i);
    for (const [pre, expected] of Object.entries(digits)) {
      const tokenizer = await open({
        'ggml.model': 'gpt2',
        'ggml.pre': pre,
        'ggml.tokens': whole,
        'ggml.merges': merges,
      });
      const found = plain(tokenizer, 'a 12345').map((id) => tokenizer.decode([id], { skipSpecialTokens: false }));
      expect(found, pre).toEqual(expected);
    }
  });

  it('refuses a cut it does not know', async () => {
    const unknown = () => folderOf({ ...metadata, 'ggml.pre': 'brand-new' });
    await expectError(unknown, 'unsupported', /m\.gguf cuts text in the way "brand-new".*tokenizer\.json beside/);
  });
});

describe('SentencePiece', () => {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', 'ab', '▁a', '▁ab', '▁▁', '<turn>'];
  const id = (token: string) => tokens.indexOf(token);
  const metadata = {
    'ggml.model': 'llama',
    'ggml.tokens': tokens,
    // Better scores join first: "▁a" before "ab", and "▁ab" from either.
    'ggml.scores': tokens.map((token) => -['▁a', 'ab', '▁ab', '▁▁', '▁', 'a', 'b'].indexOf(token)),
    'ggml.token_type': tokens.map((_, i) =>
      i < 3 ? CONTROL : i === tokens.length - 1 ? USER_DEFINED : i < 259 ? 6 : NORMAL,
    ),
    'ggml.bos_token_id': 1,
    'ggml.eos_token_id': 2,
    'ggml.unknown_token_id': 0,
  };

  it('joins the best pieces, and spells the rest in bytes', async () => {
    const tokenizer = await open(metadata);
    expect(plain(tokenizer, 'ab')).toEqual([id('▁ab')]);
    expect(plain(tokenizer, 'bab')).toEqual([id('▁'), id('b'), id('ab')]);
    expect(plain(tokenizer, 'aé')).toEqual([id('▁a'), id('<0xC3>'), id('<0xA9>')]);
    expect(tokenizer.decode(plain(tokenizer, 'aé  ab'), { skipSpecialTokens: false })).toBe('aé  ab');
    expect(tokenizer.encode('ab', { addSpecialTokens: true })).toEqual([1, id('▁ab')]);
    expect(tokenizer.stopTokenIds).toEqual([2]);
  });

  it('puts no space before a text where the file says so, and finds added tokens whole', async () => {
    const tokenizer = await open({ ...metadata, 'ggml.add_space_prefix': false });
    expect(plain(tokenizer, 'ab<turn>a  b')).toEqual(['ab', '<turn>', 'a', '▁▁', 'b'].map(id));
    expect(tokenizer.decode([id('▁a')], { skipSpecialTokens: false })).toBe(' a');
  });

  it('refuses scores that are not one a token, and kinds it does not know', async () => {
    const few = () => folderOf({ ...metadata, 'ggml.scores': [1, 2] });
    await expectError(few, 'bad-config', /tokenizer\.ggml\.scores must be a list of 267 numbers/);
    await expectError(() => folderOf({ ...metadata, 'ggml.model': 'bert' }), 'unsupported', /kind "bert"/);
  });
});
