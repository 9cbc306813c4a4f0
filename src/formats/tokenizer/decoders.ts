/** Decoders of tokenizer.json: tokens as text. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import { isByteName, readSpelledBytes } from './bytes';
import { readPattern } from './patterns';
import { MAX_STEPS } from './types';

/** Rewrites a list of tokens; joined, they are the text. `isAdded` says of each token of the list that comes first. */
export type Decoder = (tokens: readonly string[], isAdded: (place: number) => boolean) => string[];

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** @throws `unsupported` for a kind that Graft doesn't know, by its name. */
export function readDecoder(config: JsonObject | undefined): Decoder {
  // Without one, the Rust library puts spaces between tokens.
  if (!config) return (tokens) => [tokens.join(' ')];
  const type = config.string('type');
  switch (type) {
    case 'Sequence':
      return sequence(config);
    case 'ByteLevel':
      return byteLevel;
    case 'ByteFallback':
      return byteFallback;
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'Metaspace':
      return metaspace(config);
    case 'Replace': {
      const pattern = readPattern(config);
      const content = config.string('content') ?? '';
      return (tokens) => tokens.map((token) => token.replace(pattern, () => content));
    }
    case 'Strip':
      return strip(config);
    case 'WordPiece':
      return wordPiece(config);
    case 'BPEDecoder': {
      const suffix = config.string('suffix') ?? '</w>';
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '));
    }
    case 'CTC':
      return ctc(config);
    default:
      throw new GraftError('unsupported', `its decoder ${quote(type)} is none that Graft knows`);
  }
}

function sequence(config: JsonObject): Decoder {
  const steps = config.required('decoders', config.objects('decoders', MAX_STEPS)).map(readDecoder);
  return (tokens, isAdded) =>
    steps.reduce<string[]>((result, step, i) => step(result, i === 0 ? isAdded : () => false), [...tokens]);
}

/** Characters that spell bytes, across tokens. Added tokens are text as they are. */
const byteLevel: Decoder = (tokens, isAdded) => {
  const bytes = tokens.map((token, i) => readSpelledBytes(token, isAdded(i)));
  const all = new Uint8Array(bytes.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of bytes) {
    all.set(part, at);
    at += part.length;
  }
  return [utf8.decode(all)];
};

/** Runs of tokens like `<0xE2>`: of a run that isn't UTF-8 each byte is a replacement character. */
const byteFallback: Decoder = (tokens) => {
  const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });
  const result: string[] = [];
  let run: number[] = [];
  const end = () => {
    if (run.length === 0) return;
    try {
      result.push(strict.decode(Uint8Array.from(run)));
    } catch {
      result.push('\ufffd'.repeat(run.length));
    }
    run = [];
  };
  for (const token of tokens) {
    if (isByteName(token)) run.push(Number.parseInt(token.slice(3, 5), 16));
    else {
      end();
      result.push(token);
    }
  }
  end();
  return result;
};

function metaspace(config: JsonObject): Decoder {
  const mark = config.string('replacement') ?? '\u2581';
  const isPrefixed = config.boolean('add_prefix_space') !== false && config.string('prepend_scheme') !== 'never';
  return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && isPrefixed ? '' : ' '));
}

/** Takes so many of a character from the start and the end of each token. */
function strip(config: JsonObject): Decoder {
  const content = config.required('content', config.string('content'));
  const [first, last] = [config.count('start') ?? 0, config.count('stop') ?? 0];
  return (tokens) =>
    tokens.map((token) => {
      let start = 0;
      let end = token.length;
      for (let i = 0; i < first && token.startsWith(content, start); i++) start += content.length;
      for (let i = 0; i < last && end > start && token.endsWith(content, end); i++) end -= content.length;
      return token.slice(start, end);
    });
}

function wordPiece(config: JsonObject): Decoder {
  const prefix = config.string('prefix') ?? '##';
  const cleans = config.boolean('cleanup') ?? true;
  return (tokens) =>
    tokens.map((token, i) => {
      const joined = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return cleans ? cleanUp(joined).replaceAll(' do not', " don't") : joined;
    });
}

function ctc(config: JsonObject): Decoder {
  const pad = config.string('pad_token') ?? '<pad>';
  const delimiter = config.string('word_delimiter_token') ?? '|';
  const cleans = config.boolean('cleanup') ?? true;
  return (tokens) =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map((token) => token.replaceAll(pad, ''))
      .map((token) => (cleans ? cleanUp(token).replaceAll(delimiter, ' ') : token));
}

/** Transformers' `clean_up_tokenization`. */
export function cleanUp(text: string): string {
  return text
    .replace(/ ([.?!,])/g, '$1')
    .replaceAll(" ' ", "'")
    .replace(/ (n't|'m|'s|'ve|'re)/g, '$1');
}
