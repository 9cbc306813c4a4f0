/** A Hub folder's tokenizer as GGUF metadata: what `tokenizerOf` reads back. */
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import type { AskedModel } from '../asked-model';
import { isPlainObject, readObject, type JsonObject } from '../json';
import type { HubTokenizer } from '../tokenizer';
import { assignIds, readAddedTokens, type AddedToken } from '../tokenizer/added-tokens';
import { readMerges } from '../tokenizer/bpe';
import { BYTE_LEVEL_PATTERN, DIGIT_PATTERN, preTokenizerName } from './pre-tokenizers';
import { KEEPS_SPACE, MARK, TOKEN_TYPE } from './tokenizer';
import type { GgufMetadata, GgufValue } from './write';

/** What an added token's score is: no merge leads to it. */
const ADDED_SCORE = -1000;

export interface DescribedTokenizer {
  readonly metadata: GgufMetadata;
  /** Whether added tokens take the space after them, as those of Phi-3 do. */
  readonly stripsSpaces: boolean;
  readonly notices: readonly string[];
}

/**
 * Tokens, types, merges or scores, special ids and the chat template.
 * @param asked the model with the template that the file is to have
 * @param addsBos whether programs put BOS before every prompt
 * @throws `unsupported` for a tokenizer that llama.cpp has no name for
 */
export async function describeTokenizer(
  source: FileSource,
  asked: AskedModel,
  vocabSize: number,
  addsBos = asked.tokenizer?.addsBos ?? false,
): Promise<DescribedTokenizer> {
  const { tokenizer, template } = asked;
  const file = await readObject(source, 'tokenizer.json');
  if (!file || !tokenizer) {
    const none: [string, GgufValue] = ['tokenizer.ggml.model', { kind: 'string', value: 'none' }];
    const notices = [`${source.name} has no tokenizer.json: the file has no tokenizer.`];
    return { metadata: new Map([none]), stripsSpaces: false, notices };
  }
  const vocabulary = readVocabulary(file, vocabSize, source.name);
  const metadata = new Map<string, GgufValue>();
  const set = (key: string, value: GgufValue) => metadata.set(`tokenizer.ggml.${key}`, value);
  const model = vocabulary.model;
  const isSentencePiece = model.boolean('byte_fallback') === true;
  set('model', { kind: 'string', value: isSentencePiece ? 'llama' : 'gpt2' });
  set('pre', { kind: 'string', value: isSentencePiece ? 'default' : nameOfCut(file, source.name) });
  set('tokens', { list: 'string', value: vocabulary.tokens });
  if (isSentencePiece) set('scores', { list: 'f32', value: scoresOf(vocabulary) });
  set('token_type', { list: 'i32', value: vocabulary.tokens.map((_, id) => typeOf(vocabulary, id, isSentencePiece)) });
  if (!isSentencePiece) {
    set('merges', { list: 'string', value: readMerges(model).map(([left, right]) => `${left} ${right}`) });
  }
  const stops = specialIds(tokenizer, vocabulary);
  for (const [name, id] of stops.ids) set(`${name}_token_id`, { kind: 'u32', value: id });
  const around = tokenizer.encode('a', { addSpecialTokens: true });
  set('add_bos_token', { kind: 'bool', value: addsBos });
  set('add_eos_token', { kind: 'bool', value: around.length > 1 && around.at(-1) === tokenizer.eosTokenId });
  if (isSentencePiece) set('add_space_prefix', { kind: 'bool', value: prefixesSpace(file, asked) });
  // The fallback for models without a template is no part of them.
  if (template && template.source !== 'alpaca') {
    metadata.set('tokenizer.chat_template', { kind: 'string', value: template.text });
  }
  // llama.cpp fails on a model called so without these.
  const hasAll = ['</s>', ...KEEPS_SPACE].every((token) => vocabulary.tokens.includes(token));
  const stripsSpaces = hasAll && [...vocabulary.added.values()].some(({ special, rstrip }) => special && rstrip);
  return { metadata, stripsSpaces, notices: stops.notices };
}

interface Vocabulary {
  /** The `model` of tokenizer.json. */
  readonly model: JsonObject;
  /** By id; what has no token of its own is padding. */
  readonly tokens: readonly string[];
  readonly padding: ReadonlySet<number>;
  readonly added: ReadonlyMap<number, AddedToken>;
}

function readVocabulary(file: JsonObject, vocabSize: number, name: string): Vocabulary {
  const model = file.required('model', file.object('model'));
  const vocab = model.get('vocab');
  if ((model.string('type') ?? 'BPE') !== 'BPE' || !isPlainObject(vocab)) {
    throw new GraftError(
      'unsupported',
      `The tokenizer of ${name} can't be written as GGUF: it is a ${model.string('type')}, and Graft writes BPE.`,
    );
  }
  const ids = new Map(Object.entries(vocab).map(([token, id]) => [token, Number(id)]));
  const added = new Map(assignIds(readAddedTokens(file), ids).map((token) => [token.id, token]));
  const byId = new Map([...ids].map(([token, id]) => [id, token]));
  for (const { id, content } of added.values()) byId.set(id, content);
  let largest = 0;
  for (const id of byId.keys()) largest = Math.max(largest, id);
  if (largest >= vocabSize) {
    throw new GraftError(
      'unsupported',
      `The tokenizer of ${name} can't be written as GGUF: it has a token ${largest}, and the model knows ${vocabSize}.`,
    );
  }
  const padding = new Set<number>();
  const tokens = Array.from({ length: vocabSize }, (_, id) => {
    const token = byId.get(id);
    if (token === undefined) padding.add(id);
    return token ?? `[PAD${id}]`;
  });
  return { model, tokens, padding, added };
}

function typeOf({ model, tokens, padding, added }: Vocabulary, id: number, isSentencePiece: boolean): number {
  if (padding.has(id)) return TOKEN_TYPE.unused;
  const token = tokens[id]!;
  if (isSentencePiece && token === (model.string('unk_token') ?? '<unk>')) return TOKEN_TYPE.unknown;
  const addedToken = added.get(id);
  // A token with marks for spaces is found by its merges: text has none before it is normalised.
  if (addedToken && (addedToken.special || !isSentencePiece || !token.includes(MARK))) {
    return addedToken.special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined;
  }
  return isSentencePiece && /^<0x[0-9A-F]{2}>$/.test(token) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal;
}

/** SentencePiece's scores say which union of two pieces comes first, as ranks of merges do. */
function scoresOf({ model, tokens, added }: Vocabulary): number[] {
  const ranks = new Map<string, number>();
  for (const [left, right] of readMerges(model)) {
    if (!ranks.has(left + right)) ranks.set(left + right, ranks.size);
  }
  return tokens.map((token, id) => {
    const rank = ranks.get(token);
    if (rank !== undefined) return -rank;
    return added.has(id) ? ADDED_SCORE : -(ranks.size + id);
  });
}

/** Ids by what they are for, with the ends of turns that GGUF has keys for. */
function specialIds(
  tokenizer: HubTokenizer,
  { tokens }: Vocabulary,
): { readonly ids: readonly (readonly [string, number])[]; readonly notices: readonly string[] } {
  const { bosTokenId, eosTokenId, stopTokenIds, specialTokens } = tokenizer;
  const idOf = (token: string | undefined) => {
    const id = token === undefined ? -1 : tokens.indexOf(token);
    return id < 0 ? undefined : id;
  };
  const [eot, eom, ...more] = stopTokenIds.filter((id) => id !== eosTokenId).reverse();
  const named = Object.entries({
    bos: bosTokenId,
    eos: eosTokenId,
    unknown: idOf(specialTokens.unk_token),
    padding: idOf(specialTokens.pad_token),
    eot,
    eom,
  });
  const notices =
    more.length === 0
      ? []
      : [
          `Answers stop at ${stopTokenIds.length} tokens; GGUF names three, without ${more.map((id) => tokens[id]).join(', ')}.`,
        ];
  return { ids: named.filter((entry): entry is [string, number] => entry[1] !== undefined), notices };
}

/** `tokenizer.ggml.pre` of a byte-level tokenizer. */
function nameOfCut(file: JsonObject, name: string): string {
  const normalizer = file.object('normalizer');
  const patterns = file.object('pre_tokenizer') && patternsOf(file.object('pre_tokenizer')!);
  const model = file.object('model');
  const isKnownNormalizer = normalizer === undefined || normalizer.string('type') === 'NFC';
  const found =
    patterns &&
    isKnownNormalizer &&
    preTokenizerName({
      patterns,
      ...(normalizer && { normalizer: { type: 'NFC' } }),
      ignoreMerges: model?.boolean('ignore_merges') ?? false,
    });
  if (found !== undefined && found !== false) return found;
  throw new GraftError(
    'unsupported',
    `The tokenizer of ${name} can't be written as GGUF: it cuts text in a way that llama.cpp has no name for that Graft knows.`,
  );
}

/** The patterns that a pre-tokenizer cuts by, one after another; undefined where it does something else. */
function patternsOf(component: JsonObject): string[] | undefined {
  switch (component.string('type')) {
    case 'Sequence': {
      const parts = (component.objects('pretokenizers', 100) ?? []).map(patternsOf);
      return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
    }
    case 'Split': {
      const pattern = component.object('pattern')?.string('Regex');
      const isPlain = component.string('behavior') === 'Isolated' && component.boolean('invert') !== true;
      return pattern !== undefined && isPlain ? [pattern] : undefined;
    }
    case 'Digits':
      return component.boolean('individual_digits') === true ? [DIGIT_PATTERN] : undefined;
    case 'ByteLevel':
      if (component.boolean('add_prefix_space') === true) return undefined;
      return component.boolean('use_regex') === false ? [] : [BYTE_LEVEL_PATTERN];
    default:
      return undefined;
  }
}

/**
 * Whether a text gets a mark before it. llama.cpp knows it of every piece between special tokens or of none: where the Hub's
 * tokenizer does it at the very beginning alone, a model that is asked in conversations which begin with a special token
 * gets none.
 */
function prefixesSpace(file: JsonObject, asked: AskedModel): boolean {
  const schemes = [file.object('normalizer'), file.object('pre_tokenizer')].flatMap(prefixesOf);
  if (schemes.includes('always')) return true;
  return schemes.includes('first') && !beginsWithSpecial(asked);
}

function prefixesOf(component: JsonObject | undefined): string[] {
  if (!component) return [];
  const parts = [...(component.objects('normalizers', 100) ?? []), ...(component.objects('pretokenizers', 100) ?? [])];
  if (parts.length > 0) return parts.flatMap(prefixesOf);
  const type = component.string('type');
  if (type === 'Prepend') return component.string('prepend') === MARK ? ['always'] : [];
  return type === 'Metaspace' ? [component.string('prepend_scheme') ?? 'always'] : [];
}

function beginsWithSpecial({ tokenizer, template }: AskedModel): boolean {
  if (!tokenizer || !template || template.source === 'alpaca') return false;
  try {
    const text = template.render({ messages: [{ role: 'user', content: 'Hello' }] }, { addGenerationPrompt: true });
    return tokenizer.addedTokenIds.has(tokenizer.encode(text, { addSpecialTokens: false })[0] ?? -1);
  } catch {
    return false; // a template of conversations of another kind
  }
}
