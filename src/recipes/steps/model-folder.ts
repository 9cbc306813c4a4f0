/** The files of a Hub model folder around its weights, taken from the base model's. */
import { decodeUtf8, encodeUtf8, type FileSource } from '../../core/store';
import type { AdapterFile } from '../../formats/peft';

/** Files that make a model folder whole beside its weights, copied where the base model has them. */
const TEXT_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'tokenizer.model',
  'special_tokens_map.json',
  'chat_template.jinja',
  'generation_config.json',
];

/** config.json, with `dtype` for the type that the weights are stored in now, and the tokenizer's files. */
export async function modelFolderFiles(modelFiles: FileSource, dtype?: string): Promise<AdapterFile[]> {
  const config = JSON.parse(decodeUtf8(await modelFiles.read('config.json'))) as Record<string, unknown>;
  const key = 'torch_dtype' in config ? 'torch_dtype' : 'dtype';
  const text = `${JSON.stringify(dtype === undefined ? config : { ...config, [key]: dtype }, null, 2)}\n`;
  const files: AdapterFile[] = [{ name: 'config.json', bytes: new Uint8Array(encodeUtf8(text)) }];
  for (const name of TEXT_FILES) {
    if ((await modelFiles.size(name)) !== undefined)
      files.push({ name, bytes: new Uint8Array(await modelFiles.read(name)) });
  }
  return files;
}
