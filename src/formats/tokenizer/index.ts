/**
 * Tokenizers of Hub folders behind the interface of core. Ids and texts are those of the Rust library `tokenizers`;
 * `@huggingface/tokenizers`, which differs from it and takes several times as long, translates regular expressions.
 */
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import type { TokenPosition, Tokenizer } from '../../core/text';
import { isPlainObject, readObject, type JsonObject } from '../json';
import type { AddedToken } from './added-tokens';
import { cleanUp, readDecoder, type Decoder } from './decoders';
import { TextEncoderOfModel } from './encoder';
import { locate } from './locate';
import { readPostProcessor, type Around } from './post-processor';

/** The special tokens that a chat template may name, as text; absent ones are undefined there too. */
export interface SpecialTokens {
  readonly bos_token?: string;
  readonly eos_token?: string;
  readonly unk_token?: string;
  readonly pad_token?: string;
}

const SPECIAL_KEYS = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;

/** What tokenizer.json describes. */
interface Parts {
  readonly encoder: TextEncoderOfModel;
  readonly addedTokens: readonly AddedToken[];
  readonly postProcessor: Around;
  readonly decoder: Decoder;
  /** Ids and their tokens, added ones with them. */
  readonly tokens: ReadonlyMap<number, string>;
  /** Ids that `skipSpecialTokens` leaves out. */
  readonly specialIds: ReadonlySet<number>;
  /** Whether decoded text loses the space before a mark: `clean_up_tokenization_spaces`. */
  readonly cleansUp: boolean;
}

/** A tokenizer with what the chat template needs to know of it. */
export class HubTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly stopTokenIds: readonly number[];
  readonly padTokenId: number;
  /** Ids that the tokenizer finds in text as a whole: special tokens and others added to the vocabulary. */
  readonly addedTokenIds: ReadonlySet<number>;

  constructor(
    private readonly name: string,
    private readonly parts: Parts,
    readonly specialTokens: SpecialTokens,
    /** Ids that the model's configs call end of sequence, beside the tokenizer's own. */
    stopIds: readonly number[],
    /** What tokenizer_config.json says of BOS and EOS around a text; where it says nothing, the post-processor does. */
    private readonly around: { readonly bos?: boolean | undefined; readonly eos?: boolean | undefined } = {},
  ) {
    const { addedTokens, encoder, tokens } = parts;
    const idOf = (token: string | undefined) =>
      token === undefined
        ? undefined
        : (addedTokens.find(({ content }) => content === token)?.id ?? encoder.vocabulary.get(token));
    let vocabSize = 0;
    for (const id of tokens.keys()) vocabSize = Math.max(vocabSize, id + 1);
    this.vocabSize = vocabSize;
    this.addedTokenIds = new Set(addedTokens.map(({ id }) => id));
    this.bosTokenId = idOf(specialTokens.bos_token);
    this.eosTokenId = idOf(specialTokens.eos_token) ?? stopIds[0];
    this.stopTokenIds = [...new Set([...(this.eosTokenId === undefined ? [] : [this.eosTokenId]), ...stopIds])];
    this.padTokenId = this.choosePad(idOf(specialTokens.pad_token), idOf(specialTokens.unk_token));
  }

  /** The same tokenizer that also stops at `id`. */
  withStopToken(id: number | undefined): HubTokenizer {
    if (id === undefined || this.stopTokenIds.includes(id)) return this;
    const { name, parts, specialTokens, stopTokenIds, around } = this;
    return new HubTokenizer(name, parts, specialTokens, [...stopTokenIds, id], around);
  }

  /** Whether the tokenizer starts a text with BOS. */
  get addsBos(): boolean {
    return this.bosTokenId !== undefined && this.encode('a', { addSpecialTokens: true })[0] === this.bosTokenId;
  }

  /** A text that spells BOS at its start itself doesn't get a second one. */
  encode(text: string, options: { addSpecialTokens: boolean }): number[] {
    const ids = this.parts.encoder.encode(text);
    if (!options.addSpecialTokens) return ids;
    const { bosTokenId: bos, eosTokenId: eos, around } = this;
    const only = (id: number | undefined, wanted: boolean | undefined) => (wanted && id !== undefined ? [id] : []);
    const { before, after } =
      around.bos !== undefined || around.eos !== undefined
        ? { before: only(bos, around.bos), after: only(eos, around.eos) }
        : this.parts.postProcessor;
    const coded = [...before, ...ids, ...after];
    return bos !== undefined && coded[0] === bos && coded[1] === bos ? coded.slice(1) : coded;
  }

  locate(text: string, offsets: readonly number[]): { ids: number[]; positions: TokenPosition[] } {
    return locate(this.parts.encoder, text, offsets);
  }

  /** The vocabulary's own spelling of an id, as `\u2581the` or `\u0120the`; undefined where there is none. */
  tokenAt(id: number): string | undefined {
    return this.parts.tokens.get(id);
  }

  /** Ids beyond the vocabulary (a padded embedding has some) have no text and are left out. */
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string {
    const { tokens, specialIds, decoder, cleansUp } = this.parts;
    const known = ids.filter((id) => tokens.has(id) && !(options.skipSpecialTokens && specialIds.has(id)));
    const decoded = decoder(
      known.map((id) => tokens.get(id)!),
      (place) => this.addedTokenIds.has(known[place]!),
    ).join('');
    return cleansUp ? cleanUp(decoded) : decoded;
  }

  /** The model's pad token where no turn ends with it, else another that no text is trained to end with. */
  private choosePad(pad: number | undefined, unknown: number | undefined): number {
    const stops = new Set(this.stopTokenIds);
    const isFree = (id: number | undefined) => id !== undefined && !stops.has(id);
    const candidate = [pad, unknown, this.bosTokenId, ...[...this.addedTokenIds].reverse()].find(isFree);
    if (candidate !== undefined) return candidate;
    let id = 0;
    while (id < this.vocabSize && stops.has(id)) id++;
    return id < this.vocabSize ? id : 0;
  }
}

/**
 * The tokenizer of a model folder, or undefined where it has no tokenizer.json.
 * `stopIds` come from config.json and generation_config.json. Throws `unsupported` for one the library can't build.
 */
export async function openTokenizer(source: FileSource, stopIds: readonly number[]): Promise<HubTokenizer | undefined> {
  const tokenizer = await readObject(source, 'tokenizer.json');
  if (!tokenizer) return undefined;
  const config = await readObject(source, 'tokenizer_config.json');
  const specialMap = await readObject(source, 'special_tokens_map.json');
  const special: { [key in (typeof SPECIAL_KEYS)[number]]?: string } = {};
  for (const key of SPECIAL_KEYS) {
    const token = tokenText(config, key) ?? tokenText(specialMap, key);
    if (token !== undefined) special[key] = token;
  }
  const around = { bos: config?.boolean('add_bos_token'), eos: config?.boolean('add_eos_token') };
  try {
    return new HubTokenizer(source.name, readParts(tokenizer, config), special, stopIds, around);
  } catch (cause) {
    if (!(cause instanceof GraftError)) throw cause;
    const reason = cause.message.replace(/\.$/, '');
    throw new GraftError(cause.code, `The tokenizer.json of ${source.name} can't be used: ${reason}.`, { cause });
  }
}

function readParts(tokenizer: JsonObject, config: JsonObject | undefined): Parts {
  const encoder = new TextEncoderOfModel(tokenizer);
  const { addedTokens } = encoder;
  const tokens = new Map(Array.from(encoder.vocabulary, ([token, id]) => [id, token]));
  for (const { id, content } of addedTokens) tokens.set(id, content);
  const postProcessor = readPostProcessor(tokenizer.object('post_processor'));
  const stranger = [...postProcessor.before, ...postProcessor.after].find((id) => !tokens.has(id));
  if (stranger !== undefined) {
    throw new GraftError('bad-config', `its post-processor puts the id ${stranger} around a text, which no token has`);
  }
  const additional = config?.get('additional_special_tokens');
  const isSpecial = ({ content, special }: AddedToken) =>
    special || (Array.isArray(additional) && additional.includes(content));
  return {
    encoder,
    addedTokens,
    postProcessor,
    decoder: readDecoder(tokenizer.object('decoder')),
    tokens,
    specialIds: new Set(addedTokens.filter(isSpecial).map(({ id }) => id)),
    cleansUp: config?.get('clean_up_tokenization_spaces') === true,
  };
}

/** A special token is stored as its text, or as an object that has it as `content`. */
function tokenText(file: JsonObject | undefined, key: string): string | undefined {
  const value = file?.get(key);
  return isPlainObject(value) ? file?.object(key)?.string('content') : file?.string(key);
}
