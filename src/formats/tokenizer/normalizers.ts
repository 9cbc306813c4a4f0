/** Normalizers of tokenizer.json. */
import { GraftError } from '../../core/errors';
import { formatCount, quote } from '../../core/format';
import { isPlainObject, JsonObject } from '../json';
import { spellBytes } from './bytes';
import { readCharsmap } from './charsmap';
import { readPattern, SPACE } from './patterns';
import { MAX_STEPS } from './types';

/** `inner` text is the rest of a longer one: nothing is put before it. */
export type Normalizer = (text: string, inner: boolean) => string;

/** Undefined where text stays as it is. @throws `unsupported` for a kind that Graft doesn't know, by its name. */
export function readNormalizer(config: JsonObject | undefined): Normalizer | undefined {
  const normalizer = config && readStep(config);
  if (!normalizer) return undefined;
  return (text, inner) => checkGrowth(text, normalizer(text, inner));
}

/**
 * Characters that normalizing makes of one: the longest that Unicode has is 18 (U+FDFA), and bytes are up to four. More
 * comes of replacements by what they replace, again and again.
 */
const MAX_GROWTH = 32;

/** Characters of a normalized text; a million tokens are some five million. */
const MAX_NORMALIZED = 8_388_608;

function checkGrowth(text: string, normalized: string): string {
  if (normalized.length > MAX_NORMALIZED) {
    throw new GraftError(
      'bad-data',
      `The tokenizer's normalizer makes ${formatCount(normalized.length)} characters of a text of ` +
        `${formatCount(text.length)}, and reads ${formatCount(MAX_NORMALIZED)} at most: shorten the text.`,
    );
  }
  if (normalized.length <= MAX_GROWTH * (text.length + MAX_STEPS)) return normalized;
  throw new GraftError(
    'bad-config',
    `The tokenizer's normalizer makes ${formatCount(normalized.length)} characters of a text of ${formatCount(text.length)}: it can't be used.`,
  );
}

function readStep(config: JsonObject): Normalizer | undefined {
  if (config.string('type') !== 'Sequence') return readOne(config);
  const steps = config
    .required('normalizers', config.objects('normalizers', MAX_STEPS))
    .map(readStep)
    .filter((step) => step !== undefined);
  if (steps.length === 0) return undefined;
  return (text, inner) => steps.reduce((result, step) => checkGrowth(text, step(result, inner)), text);
}

/** Characters that the normalizer puts before a text, in UTF-16 units. */
export function prependedLength(config: JsonObject | undefined): number {
  return eachStep(config).reduce((sum, step) => sum + (step.string('prepend')?.length ?? 0), 0);
}

/** Whether white space before a text goes. */
export function stripsStart(config: JsonObject | undefined): boolean {
  return eachStep(config).some((step) => step.string('type') === 'Strip' && (step.boolean('strip_left') ?? true));
}

function eachStep(config: JsonObject | undefined): JsonObject[] {
  const list = config?.get('normalizers');
  if (!config || !Array.isArray(list)) return config ? [config] : [];
  return list.filter(isPlainObject).flatMap((value) => eachStep(new JsonObject(config.where, value)));
}

function readOne(component: JsonObject): Normalizer {
  const type = component.string('type');
  switch (type) {
    case 'Prepend': {
      const prefix = shortText(component, 'prepend');
      return (text, inner) => (inner || text === '' ? text : prefix + text);
    }
    case 'Replace':
      return replace(component);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(type);
    case 'Lowercase':
      return lowercase;
    case 'Strip': {
      const sides = [
        (component.boolean('strip_left') ?? true) ? `^${SPACE}+` : '(?!)',
        (component.boolean('strip_right') ?? true) ? `(?<!${SPACE})${SPACE}+$` : '(?!)',
      ];
      const ends = new RegExp(sides.join('|'), 'gu');
      return (text) => text.replace(ends, '');
    }
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'BertNormalizer':
      return bert(component);
    case 'Nmt':
      return nmt;
    case 'ByteLevel':
      return spellBytes;
    case 'Precompiled':
      return readCharsmap(component);
    default:
      throw new GraftError('unsupported', `its normalizer ${quote(type)} is none that Graft knows`);
  }
}

/** What is put into a text, which is a mark in real files. */
function shortText(component: JsonObject, key: string): string {
  const text = component.required(key, component.string(key));
  if (text.length > MAX_GROWTH) throw component.wrong(key, `a text of at most ${MAX_GROWTH} characters`);
  return text;
}

function replace(component: JsonObject): Normalizer {
  const content = shortText(component, 'content');
  const literal = component.object('pattern')?.string('String');
  // A function, for `$` means nothing here.
  if (literal) return (text) => text.replaceAll(literal, () => content);
  const pattern = readPattern(component);
  return (text) => text.replace(pattern, () => content);
}

/** Character by character: Σ is σ at the end of a word too. */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

/** CJK ideographs, as BERT's own code lists them. */
const IDEOGRAPHS =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

function bert(component: JsonObject): Normalizer {
  const lower = component.boolean('lowercase') ?? true;
  const accents = component.boolean('strip_accents') ?? lower;
  const cleans = component.boolean('clean_text') ?? true;
  const ideographs = component.boolean('handle_chinese_chars') ?? true;
  return (text) => {
    let result = text;
    if (cleans) {
      result = result
        .replace(/\p{Cc}|\p{Cf}|\p{Co}|\uFFFD/gu, (char) => ('\t\n\r'.includes(char) ? char : ''))
        .replace(new RegExp(SPACE, 'gu'), ' ');
    }
    if (ideographs) result = result.replace(IDEOGRAPHS, ' $& ');
    if (accents) result = result.normalize('NFD').replace(/\p{Mn}/gu, '');
    return lower ? lowercase(result) : result;
  };
}

/** SentencePiece's `nmt`: some control characters go, others are spaces. */
function nmt(text: string): string {
  return text.replace(/[\p{Cc}\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/gu, (char) => {
    if (char > '\u009f' || '\t\n\f\r'.includes(char)) return ' ';
    return char === '\0' || (char >= '\u0080' && char !== '\u008f' && char !== '\u009f') ? char : '';
  });
}
