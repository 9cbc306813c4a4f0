/** The files of a Hub model folder around its weights, taken from the base model's. */
import { HEAD } from '../../core/spec';
import { decodeUtf8, encodeUtf8, type FileSource } from '../../core/store';
import { GENERATION_CONFIG, readGenerationHints } from '../../formats/generation-config';
import { readObject } from '../../formats/json';
import type { AdapterFile } from '../../formats/peft';
import type { AskedModel } from '../../formats/asked-model';
import { TEMPLATE_FILE, templateToSave } from '../../formats/saved-template';

/** The tokenizer's files, copied where the base model has them. */
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'tokenizer.model', 'special_tokens_map.json'];

/** Every file that `adapterTextFiles` may give. */
export const ADAPTER_TEXT_FILES: readonly string[] = [TEMPLATE_FILE, ...TOKENIZER_FILES];

/** Of a model that was given token ids: no template was trained. */
export const NOT_ASKED: AskedModel = { tokenizer: undefined, template: undefined };

export interface FolderOptions {
  /** How the model was asked in training; without a tokenizer it was given token ids. */
  readonly asked: AskedModel;
  /** Whether the folder's weights have no head of their own. */
  readonly tied: boolean;
  /** What the weights are stored in, in the words of config.json, where it is another type than the base's. */
  readonly dtype?: string;
  /** `quantization_config`, where the weights are packed. */
  readonly quantization?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * config.json as the weights are now, the tokenizer's files, the chat template that was trained, and a
 * generation_config.json that stops at the tokens which ended turns in training.
 */
export async function modelFolderFiles(base: FileSource, options: FolderOptions): Promise<AdapterFile[]> {
  const template = await templateToSave(base, options.asked);
  const ownTemplate = template === undefined ? await copies(base, [TEMPLATE_FILE]) : [];
  return [
    await configFile(base, options),
    ...(await copies(base, TOKENIZER_FILES)),
    ...ownTemplate,
    ...(template === undefined ? [] : [textFile(TEMPLATE_FILE, template)]),
    ...(await generationFile(base, options.asked)),
  ];
}

/**
 * What goes into an adapter's folder where its model is asked through another template than the base's own: that template,
 * and the tokenizer's files, without which PEFT's users can't load it from there.
 */
export async function adapterTextFiles(base: FileSource, asked: AskedModel): Promise<AdapterFile[]> {
  const template = await templateToSave(base, asked);
  if (template === undefined) return [];
  return [textFile(TEMPLATE_FILE, template), ...(await copies(base, TOKENIZER_FILES))];
}

/** Whether weights come without a head of their own. */
export function isTied(tensors: readonly { readonly name: string }[]): boolean {
  return !tensors.some(({ name }) => name === HEAD);
}

/** What is said of packed weights in the base's config goes with them: what is written here is plain, or says so itself. */
async function configFile(base: FileSource, { tied, dtype, quantization }: FolderOptions): Promise<AdapterFile> {
  const own = JSON.parse(decodeUtf8(await base.read('config.json'))) as Record<string, unknown>;
  const config = Object.fromEntries(Object.entries(own).filter(([key]) => key !== 'quantization_config'));
  const key = 'torch_dtype' in config ? 'torch_dtype' : 'dtype';
  return jsonFile('config.json', {
    ...config,
    ...(dtype !== undefined && { [key]: dtype }),
    ...(!tied && config['tie_word_embeddings'] !== false && { tie_word_embeddings: false }),
    ...(quantization && { quantization_config: quantization }),
  });
}

/** The base's file where it stops at every token that ends a turn, else one that does, with what else it says. */
async function generationFile(base: FileSource, { tokenizer, template }: AskedModel): Promise<AdapterFile[]> {
  const own = await copies(base, [GENERATION_CONFIG]);
  const config = await readObject(base, 'config.json');
  const vocabSize = config?.get('vocab_size');
  const hints = await readGenerationHints(base, config, typeof vocabSize === 'number' ? vocabSize : Infinity);
  const file = await readObject(base, GENERATION_CONFIG).catch(() => undefined);
  const isBroken = own.length > 0 && file === undefined;
  const trained = template ? (tokenizer?.stopTokenIds ?? []) : [];
  // Transformers takes them from config.json only where there is no generation_config.json.
  const written = (own.length > 0 ? file : config)?.get('eos_token_id');
  const stops: unknown[] = Array.isArray(written) ? written : [written];
  if (!isBroken && trained.every((id) => stops.includes(id))) return own;
  const ids = [...new Set([...hints.eosIds, ...trained])];
  return [
    jsonFile(GENERATION_CONFIG, {
      ...file?.value,
      ...(ids.length > 0 && { eos_token_id: ids.length === 1 ? ids[0] : ids }),
    }),
  ];
}

async function copies(base: FileSource, names: readonly string[]): Promise<AdapterFile[]> {
  const files: AdapterFile[] = [];
  for (const name of names) {
    if ((await base.size(name)) !== undefined) files.push({ name, bytes: new Uint8Array(await base.read(name)) });
  }
  return files;
}

function jsonFile(name: string, value: object): AdapterFile {
  return textFile(name, `${JSON.stringify(value, null, 2)}\n`);
}

function textFile(name: string, text: string): AdapterFile {
  return { name, bytes: new Uint8Array(encodeUtf8(text)) };
}
