/**
 * What of a folder goes to a Hub: the result's files and nothing else, with a card that the Hub takes and without what
 * says where on a computer something lay.
 */
import { parse } from 'yaml';
import { GraftError } from '../core/errors';
import { parseJson } from '../core/json';
import { mendCard, type CardKind } from '../formats/front-matter';
import { isPlainObject } from '../formats/json';
import type { UploadFile } from '../hub/upload';
import { CARD } from './export-card';
import { MODELFILE } from './export-ollama';
import { CHECKPOINT_SLOTS } from './steps/checkpoint';
import { RUN_FILE, SIDECAR } from './steps/outputs';

export interface PushedFiles {
  readonly kind: CardKind;
  readonly files: readonly UploadFile[];
  /** Names of what stays here. */
  readonly leftOut: readonly string[];
  /** What else there is to know, a sentence each. */
  readonly notices: readonly string[];
}

/** Names of what an export or a run leaves as its result, and of what other programs put beside it to be read. */
const RESULT: readonly RegExp[] = [
  /\.safetensors$/,
  /\.safetensors\.index\.json$/,
  /\.gguf$/i,
  /^(config|generation_config|adapter_config|quantize_config|quant_config)\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(tokenizer|spiece|sentencepiece\.bpe)\.model$|^(merges|vocab)\.txt$/,
  /^chat_template\.(jinja|json)$/,
  /^README\.md$|^(LICEN[CS]E|NOTICE|USE_POLICY)(\.txt|\.md)?$/,
];

/** Files whose text may name places on a computer, or hold what was pasted. */
const OWN_TEXTS: readonly string[] = [CARD, RUN_FILE, 'adapter_config.json', 'config.json', MODELFILE];
/** The keys that name them. */
const PATH_KEYS: ReadonlySet<string> = new Set([
  'model_name_or_path',
  'base_model_name_or_path',
  'tokenizer_name_or_path',
  '_name_or_path',
  'dataset',
  'chat_template_path',
  'output_dir',
]);
/** One of dots and slashes alone says nothing of a computer. */
const IS_PATH = /^(?![.~\\/]+$)(?:~?[\\/]|\.{1,2}[\\/]|[A-Za-z]:[\\/])/;
/** Of a Hub, as Hugging Face makes them. */
const TOKEN = /\bhf_[A-Za-z0-9]{20,}\b/;

/**
 * Sorts the files of a folder (or a GGUF file with its card), and puts right what is to be sent.
 * @param place what messages call it
 * @param askLicence of a model on the Hub; undefined where it isn't known
 * @throws `not-found` where there is no result, `bad-file` for a card that is no card, or a token in a text
 */
export async function preparePush(
  place: string,
  given: readonly UploadFile[],
  askLicence: (model: string) => Promise<string | undefined>,
): Promise<PushedFiles> {
  const names = new Set(given.map(({ name }) => name));
  const kind = await kindOf(place, given, names);
  const isResult = ({ name }: UploadFile) =>
    name === RUN_FILE || name === MODELFILE || RESULT.some((pattern) => pattern.test(name));
  const result = given.filter(isResult);
  const texts = new Map<string, string>();
  for (const { name, blob } of result) if (OWN_TEXTS.includes(name)) texts.set(name, await blob.text());
  refuseTokens(texts);

  const notices: string[] = [];
  const changed = hidePaths(texts);
  if (changed.length > 0) {
    notices.push(
      `Of paths on this computer, ${changed.join(', ')} ${changed.length === 1 ? 'keeps' : 'keep'} the last part alone.`,
    );
  }
  const card = texts.get(CARD);
  if (card === undefined) {
    notices.push(
      `There is no ${CARD}: the repository gets no model card, which says what the model is, what it came from and under ` +
        'which licence. graft export writes one.',
    );
  } else {
    texts.set(CARD, await mend(card, kind, askLicence, notices));
  }
  const files = result.map((file) => {
    const text = texts.get(file.name);
    return text === undefined ? file : { name: file.name, blob: new Blob([text]) };
  });
  return { kind, files, leftOut: given.filter((file) => !isResult(file)).map(({ name }) => name), notices };
}

async function kindOf(place: string, files: readonly UploadFile[], names: ReadonlySet<string>): Promise<CardKind> {
  // A folder that was downloaded has neither, and no record of its run.
  const isAtWork = [...names].some(
    (name) => (CHECKPOINT_SLOTS as readonly string[]).includes(name) || /\.lock$/.test(name),
  );
  if (names.has(RUN_FILE) && isAtWork && !names.has(SIDECAR)) {
    throw new GraftError(
      'not-found',
      `The run in ${place} has not finished, so that it has no result yet: let it go on, or write what it had learned with ` +
        `graft export --checkpoint ${place} --output DIR, and push that.`,
    );
  }
  if (names.has('adapter_config.json') && names.has('adapter_model.safetensors')) return 'adapter';
  if ([...names].some((name) => /\.gguf$/i.test(name))) return 'gguf';
  const config = files.find(({ name }) => name === 'config.json');
  if (config && [...names].some((name) => name.endsWith('.safetensors'))) {
    const value = parseJson(await config.blob.text());
    return isPlainObject(value) && isPlainObject(value['quantization_config']) ? 'int4' : 'model';
  }
  throw new GraftError(
    'not-found',
    `${place} holds nothing that can be pushed: an adapter (adapter_config.json and adapter_model.safetensors), a model ` +
      '(config.json and .safetensors files) or a GGUF file is expected, as train and export write them.',
  );
}

async function mend(
  card: string,
  kind: CardKind,
  askLicence: (model: string) => Promise<string | undefined>,
  notices: string[],
): Promise<string> {
  const first = mendCard(card, kind);
  const known = first.base !== undefined && !first.hasLicence ? await askLicence(first.base) : undefined;
  // `other` is said with a name and a link, which only its owner can give.
  const licence = known === 'other' ? undefined : known;
  const { text, changes, hasLicence } = licence === undefined ? first : mendCard(card, kind, licence);
  if (changes.length > 0)
    notices.push(`The front matter of ${CARD} is put right as it is sent: ${changes.join('; ')}.`);
  if (!hasLicence) notices.push(`${CARD} says no licence: add one to its front matter, as license: apache-2.0.`);
  return text;
}

function refuseTokens(texts: ReadonlyMap<string, string>): void {
  for (const [name, text] of texts) {
    if (!TOKEN.test(text)) continue;
    throw new GraftError(
      'bad-file',
      `${name} has what looks like a token of a Hub in it: take it out, and make a new token where it was a real one. ` +
        'Nothing was sent.',
    );
  }
}

/** Cuts paths to their last part wherever they stand in the texts, and names those that changed. */
function hidePaths(texts: Map<string, string>): string[] {
  const paths = new Set<string>();
  for (const [name, text] of texts) for (const value of valuesIn(name, text)) findPaths(value, paths);
  const longest = [...paths].sort((a, b) => b.length - a.length);
  const changed: string[] = [];
  for (const [name, text] of texts) {
    let hidden = text;
    for (const path of longest) {
      const last =
        path
          .replace(/[\\/]+$/, '')
          .split(/[\\/]/)
          .at(-1) ?? '';
      const short = /^\.{0,2}$|^~$/.test(last) ? 'folder' : last;
      for (const written of new Set([JSON.stringify(path).slice(1, -1), path])) {
        hidden = replaceWhole(hidden, written, short);
      }
    }
    if (hidden === text) continue;
    texts.set(name, hidden);
    changed.push(name);
  }
  return changed;
}

/** Not where something stands before it: there it is the end of an address, or of another path. */
function replaceWhole(text: string, path: string, short: string): string {
  const [first = '', ...rest] = text.split(path);
  return rest.reduce((before, after) => before + (/[\w.~:/\\-]$/.test(before) ? path : short) + after, first);
}

/** What a text holds as data: JSON, YAML, or a run file in a card. */
function valuesIn(name: string, text: string): unknown[] {
  if (name.endsWith('.json')) return [parseJson(text)];
  const sources =
    name === RUN_FILE ? [text] : [...text.matchAll(/^(`{3,})yaml\n([\s\S]*?)\n\1$/gm)].map(([, , code]) => code!);
  return sources.map((source) => {
    try {
      return parse(source) as unknown;
    } catch {
      return undefined;
    }
  });
}

function findPaths(value: unknown, paths: Set<string>): void {
  if (!isPlainObject(value)) return;
  for (const [key, entry] of Object.entries(value)) {
    for (const text of [entry].flat()) {
      if (PATH_KEYS.has(key) && typeof text === 'string' && IS_PATH.test(text)) paths.add(text);
    }
  }
}
