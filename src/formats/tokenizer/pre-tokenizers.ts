/** Pre-tokenizers of tokenizer.json: they cut text into the words that the model encodes one by one. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { isPlainObject, JsonObject } from '../json';
import { spellBytes } from './bytes';
import { MAX_STEPS } from './types';
import { compileRegex, readBehavior, readPattern, SPACE, splitAt, WORD, type Behavior, type Emit } from './patterns';

/** Where a piece of text comes from. */
export interface Place {
  /** The piece begins where the whole text begins. */
  readonly first: boolean;
  /** The piece is the rest of a larger one: nothing is put before it. */
  readonly inner: boolean;
}

/** Cuts one piece. Offsets count from the start of the piece: what is put before it is at negative ones. */
export type Stage = (text: string, place: Place, emit: Emit) => void;

export interface PreTokenizer {
  /** Each cuts what the ones before it have left. */
  readonly stages: readonly Stage[];
  /** Whether words are spelled as bytes at the end. */
  readonly spellsBytes: boolean;
  /**
   * Whether a text can be cut again from one of its words on: not where a stage after another one has spelled words as
   * bytes, and not where a pattern looks at what is before it.
   */
  readonly canResume: boolean;
}

/** @throws `unsupported` for a kind that Graft doesn't know, by its name. */
export function readPreTokenizer(config: JsonObject | undefined): PreTokenizer {
  const components = config ? flatten(config) : [];
  const last = components.at(-1);
  const spellsBytes = last?.string('type') === 'ByteLevel';
  const inside = components.slice(0, -1).some((component) => component.string('type') === 'ByteLevel');
  const stages = components.map((component) => readStage(component, component === last));
  return { stages, spellsBytes, canResume: !inside && !components.some(looksBack) };
}

function flatten(component: JsonObject): JsonObject[] {
  if (component.string('type') !== 'Sequence') return [component];
  const parts = component.required('pretokenizers', component.objects('pretokenizers', MAX_STEPS)).flatMap(flatten);
  if (parts.length > MAX_STEPS)
    throw component.wrong('pretokenizers', `${MAX_STEPS} at most, those within others included`);
  return parts;
}

const PUNCTUATION = '[\\p{P}!-\\/:-@\\[-`{-~]';
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function readStage(component: JsonObject, isLast: boolean): Stage {
  const type = component.string('type');
  switch (type) {
    case 'Split':
      return splitting(readPattern(component), readBehavior(component), component.boolean('invert') ?? false);
    case 'ByteLevel':
      return byteLevel(component, isLast);
    case 'Metaspace':
      return metaspace(component);
    case 'Digits':
      return splitting(component.boolean('individual_digits') ? /\p{N}/gu : /\p{N}+/gu, 'Isolated');
    case 'Punctuation':
      return splitting(new RegExp(PUNCTUATION, 'gu'), readBehavior(component, 'Isolated'));
    case 'Whitespace':
      return splitting(new RegExp(`[${WORD}]+|[^${WORD}${SPACE}]+`, 'gu'), 'Removed', true);
    case 'WhitespaceSplit':
      return splitting(new RegExp(SPACE, 'gu'), 'Removed');
    case 'BertPreTokenizer':
      return splitting(new RegExp(`${PUNCTUATION}|[^${PUNCTUATION.slice(1, -1)}${SPACE}]+`, 'gu'), 'Removed', true);
    case 'CharDelimiterSplit':
      return splitting(readPattern(delimiterOf(component)), 'Removed');
    case 'FixedLength':
      return fixedLength(component.size('length', MAX_FIXED_LENGTH) ?? 5);
    default:
      throw new GraftError('unsupported', `its pre-tokenizer ${quote(type)} is none that Graft knows`);
  }
}

/** Whether the pattern asks for a boundary of a word or line, or for what comes before. */
function looksBack(component: JsonObject): boolean {
  const pattern = component.get('pattern');
  const source = isPlainObject(pattern) ? pattern['Regex'] : undefined;
  return typeof source === 'string' && /\\[bBAG]|\(\?<[=!]|(^|[|(])\^/.test(source);
}

function splitting(pattern: RegExp, behavior: Behavior, invert = false): Stage {
  return (text, _, emit) => splitAt(text, pattern, behavior, invert, emit);
}

function delimiterOf(component: JsonObject): JsonObject {
  const delimiter = component.required('delimiter', component.string('delimiter'));
  return new JsonObject(component.where, { pattern: { String: delimiter } });
}

/** GPT-2's words. Spelling them as bytes comes last of all, for words are looked up as they stand in the text. */
function byteLevel(component: JsonObject, isLast: boolean): Stage {
  const prefix = (component.boolean('add_prefix_space') ?? true) ? ' ' : '';
  const pattern = (component.boolean('use_regex') ?? true) ? compileRegex(GPT2) : undefined;
  return (text, { inner }, emit) => {
    const added = inner || text.startsWith(' ') ? 0 : prefix.length;
    const put: Emit = (part, start) => emit(isLast ? part : spellBytes(part), start - added);
    const whole = added === 0 ? text : prefix + text;
    if (pattern) splitAt(whole, pattern, 'Isolated', false, put);
    else put(whole, 0);
  };
}

function metaspace(component: JsonObject): Stage {
  const mark = component.string('replacement') ?? '\u2581';
  const scheme = component.boolean('add_prefix_space') === false ? 'never' : component.string('prepend_scheme');
  if (scheme !== undefined && !['always', 'first', 'never'].includes(scheme)) {
    throw component.wrong('prepend_scheme', 'always, first or never');
  }
  const splits = component.boolean('split') ?? true;
  return (text, { first, inner }, emit) => {
    const marked = text.replaceAll(' ', () => mark);
    const wanted = scheme === 'first' ? first : scheme !== 'never';
    const added = wanted && !inner && !marked.startsWith(mark) ? mark.length : 0;
    const whole = added === 0 ? marked : mark + marked;
    for (let start = 0; start < whole.length;) {
      const next = splits ? whole.indexOf(mark, start + 1) : -1;
      const end = next < 0 ? whole.length : next;
      emit(whole.slice(start, end), start - added);
      start = end;
    }
  };
}

/** Real ones have a handful of characters. */
const MAX_FIXED_LENGTH = 65_536;

/** Words of so many characters (code points). */
function fixedLength(length: number): Stage {
  return splitting(new RegExp(`[^]{1,${length}}`, 'gu'), 'Isolated');
}
