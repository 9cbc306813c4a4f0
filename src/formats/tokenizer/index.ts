/**
 * Tokenizers of Hub folders behind the interface of core. Text becomes ids in our own code, whose ids are those of the
 * Rust library; `@huggingface/tokenizers` turns ids into text.
 */
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import type { TokenPosition, Tokenizer } from '../../core/text';
import { isPlainObject, readObject, type JsonObject } from '../json';
import { readAddedTokens } from './added-tokens';
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
    private readonly library: LibraryTokenizer,
    private readonly encoder: TextEncoderOfModel,
    private readonly postProcessor: Around,
    readonly specialTokens: SpecialTokens,
    /** Ids that the model's configs call end of sequence, beside the tokenizer's own. */
    stopIds: readonly number[],
    /** What tokenizer_config.json says of BOS and EOS around a text; where it says nothing, the post-processor does. */
    private readonly around: { readonly bos?: boolean | undefined; readonly eos?: boolean | undefined } = {},
  ) {
    const idOf = (token: string | undefined) => (token === undefined ? undefined : library.token_to_id(token));
    this.vocabSize = [...library.get_vocab(true).values()].reduce((most, id) => Math.max(most, id + 1), 0);
    this.addedTokenIds = new Set(library.get_added_tokens_decoder().keys());
    this.bosTokenId = idOf(specialTokens.bos_token);
    this.eosTokenId = idOf(specialTokens.eos_token) ?? stopIds[0];
    this.stopTokenIds = [...new Set([...(this.eosTokenId === undefined ? [] : [this.eosTokenId]), ...stopIds])];
    this.padTokenId = this.choosePad(idOf(specialTokens.pad_token), idOf(specialTokens.unk_token));
  }

  /** The same tokenizer that also stops at `id`. */
  withStopToken(id: number | undefined): HubTokenizer {
    if (id === undefined || this.stopTokenIds.includes(id)) return this;
    const { name, library, encoder, postProcessor, specialTokens, stopTokenIds, around } = this;
    return new HubTokenizer(name, library, encoder, postProcessor, specialTokens, [...stopTokenIds, id], around);
  }

  /** Whether the tokenizer starts a text with BOS. */
  get addsBos(): boolean {
    return this.bosTokenId !== undefined && this.encode('a', { addSpecialTokens: true })[0] === this.bosTokenId;
  }

  /** A text that spells BOS at its start itself doesn't get a second one. */
  encode(text: string, options: { addSpecialTokens: boolean }): number[] {
    const ids = this.encoder.encode(text);
    if (!options.addSpecialTokens) return ids;
    const { bosTokenId: bos, eosTokenId: eos, around } = this;
    const only = (id: number | undefined, wanted: boolean | undefined) => (wanted && id !== undefined ? [id] : []);
    const { before, after } =
      around.bos !== undefined || around.eos !== undefined
        ? { before: only(bos, around.bos), after: only(eos, around.eos) }
        : this.postProcessor;
    const coded = [...before, ...ids, ...after];
    return bos !== undefined && coded[0] === bos && coded[1] === bos ? coded.slice(1) : coded;
  }

  locate(text: string, offsets: readonly number[]): { ids: number[]; positions: TokenPosition[] } {
    return locate(this.encoder, text, offsets);
  }

  /** The vocabulary's own spelling of an id, as `\u2581the` or `\u0120the`; undefined where there is none. */
  tokenAt(id: number): string | undefined {
    return this.library.id_to_token(id);
  }

  /** Ids beyond the vocabulary (a padded embedding has some) have no text and are left out. */
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string {
    const known = ids.filter((id) => this.library.id_to_token(id) !== undefined);
    return known.length === 0 ? '' : this.library.decode(known, { skip_special_tokens: options.skipSpecialTokens });
  }

  /** The model's pad token where no turn ends with it, else another that no text is trained to end with. */
  private choosePad(pad: number | undefined, unknown: number | undefined): number {
    const free = (id: number | undefined) => id !== undefined && !this.stopTokenIds.includes(id);
    const candidates = [pad, unknown, this.bosTokenId, ...[...this.addedTokenIds].reverse()];
    return candidates.find(free) ?? Array.from({ length: this.vocabSize }, (_, id) => id).find(free) ?? 0;
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
    const encoder = new TextEncoderOfModel(tokenizer, readAddedTokens(tokenizer));
    const postProcessor = readPostProcessor(tokenizer.object('post_processor'));
    const library = openLibrary(tokenizer, config);
    return new HubTokenizer(source.name, library, encoder, postProcessor, special, stopIds, around);
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '');
    const code = cause instanceof GraftError ? cause.code : 'unsupported';
    throw new GraftError(code, `The tokenizer.json of ${source.name} can't be used: ${reason}.`, { cause });
  }
}

/** The library, for decoding: what only encoding needs is left out. */
function openLibrary(tokenizer: JsonObject, config: JsonObject | undefined): LibraryTokenizer {
  const model = tokenizer.object('model')?.value;
  return new LibraryTokenizer(
    {
      added_tokens: [],
      decoder: null,
      ...tokenizer.value,
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      model: model && 'merges' in model ? { ...model, merges: [] } : model,
    },
    // The library's own default rewrites decoded text (" ." to "."); Transformers' default leaves it as it is.
    { clean_up_tokenization_spaces: false, ...config?.value },
  );
}

/** A special token is stored as its text, or as an object that has it as `content`. */
function tokenText(file: JsonObject | undefined, key: string): string | undefined {
  const value = file?.get(key);
  return isPlainObject(value) ? file?.object(key)?.string('content') : file?.string(key);
}
