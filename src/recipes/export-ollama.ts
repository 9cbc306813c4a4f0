/** A model for Ollama: a folder with its GGUF file and the Modelfile that says how it is asked. */
import { GraftError } from '../core/errors';
import { encodeUtf8, type FileSource } from '../core/store';
import type { ChatTemplate, Day } from '../core/text';
import { readGgufHeader, type LoraType } from '../formats/gguf';
import { compareModelfile, describeModelfile, leadingBos } from '../formats/ollama';
import { withTemplateOf } from '../formats/saved-template';
import type { HubTokenizer } from '../formats/tokenizer';
import { exportGguf, exportLora, type GgufInput } from './export-gguf';
import type { LoadingReport } from './steps/loading';
import { withTemplateOfRun } from './steps/run-template';
import { today } from './steps/template-date';
import { showsSystem } from './answering';

export const MODELFILE = 'Modelfile';

export interface OllamaInput extends Omit<GgufInput, 'addsBos'> {
  /** The adapter in a file of its own, for Ollama to apply, instead of merged. */
  readonly apart?: { readonly file: string; readonly type: LoraType } | undefined;
  /** The system message that is said where a conversation brings none. */
  readonly system?: string | undefined;
  readonly day?: Day | undefined;
}

export interface WrittenOllama {
  /** Names of the files, with their bytes. */
  readonly files: readonly { readonly name: string; readonly size: number }[];
  /** What is otherwise in Ollama, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * Writes the GGUF file or files, and the Modelfile last.
 * @throws `unsupported` where Ollama can't ask the model as Graft does, or llama.cpp can't hold it, before anything is written
 */
export async function exportOllama(
  input: OllamaInput,
  report: LoadingReport,
  signal?: AbortSignal,
): Promise<WrittenOllama> {
  const { apart, model, adapter, store, file } = input;
  const { text, addsBos, notices } = await modelfileOf({ ...input, adapterFile: apart?.file });
  // A base model, too, is asked as the adapter was trained: newer Ollamas may read the template in its file.
  const merged = apart && adapter ? { model: await withTemplateOf(model, adapter), adapter: undefined } : {};
  const { size, notices: further } = await exportGguf({ ...input, ...merged, addsBos }, report, signal);
  const files = [{ name: file, size }];
  if (apart && adapter) {
    files.push({ name: apart.file, size: await exportLora({ ...input, adapter, ...apart }) });
  }
  const bytes = encodeUtf8(text);
  await store.write(MODELFILE, bytes);
  return {
    files: [...files, { name: MODELFILE, size: bytes.byteLength }],
    notices: [...further, ...notices],
  };
}

/** The Modelfile of a model with its adapter, and what its GGUF file says of BOS. */
export async function modelfileOf({
  model,
  adapter,
  file,
  adapterFile,
  system,
  day = today(),
}: Pick<OllamaInput, 'model' | 'adapter' | 'file' | 'system' | 'day'> & {
  readonly adapterFile?: string | undefined;
}): Promise<{ text: string; addsBos: boolean; notices: readonly string[] }> {
  const asked = adapter ? await withTemplateOfRun(model, adapter) : model;
  const { tokenizer, template } = asked;
  if (!tokenizer || !template) {
    throw new GraftError(
      'unsupported',
      `${model.name} has no tokenizer.json, so that Ollama could ask it nothing: export it with --format gguf.`,
    );
  }
  refuseUnshown(template, system);
  const addsBos = leadingBos(tokenizer, template) !== undefined;
  const { text, notices } = describeModelfile({
    ...{ model: file, adapter: adapterFile, tokenizer, template, system, day },
    generationConfig: model.generationConfig,
    maxPositions: model.spec.maxPositions,
  });
  return { text, addsBos, notices: [...notices, ...bosNotices(tokenizer, addsBos)] };
}

/**
 * Whether a Modelfile has the model asked as Graft asks it.
 * @param file the GGUF file that it names
 * @returns a sentence for each difference
 */
export async function verifyModelfile(
  { model, adapter }: Pick<OllamaInput, 'model' | 'adapter'>,
  text: string,
  folder: FileSource,
  file: string,
): Promise<string[]> {
  const { tokenizer, template } = adapter ? await withTemplateOfRun(model, adapter) : model;
  if (!tokenizer || !template) return [];
  const { metadata } = await readGgufHeader(folder, file);
  return compareModelfile(text, { tokenizer, template }, metadata.boolean('tokenizer.ggml.add_bos_token') ?? false);
}

function bosNotices(tokenizer: HubTokenizer, addsBos: boolean): string[] {
  if (addsBos || !tokenizer.addsBos) return [];
  const bos = tokenizer.specialTokens.bos_token;
  return [
    `The file puts no ${bos} before prompts, as conversations of this model begin without it: a text that is no conversation lacks it.`,
  ];
}

function refuseUnshown(template: ChatTemplate, system: string | undefined): void {
  if (system === undefined) return;
  const messages = [
    { role: 'system', content: system },
    { role: 'user', content: 'Hello' },
  ];
  if (showsSystem(template, messages)) return;
  throw new GraftError('unsupported', 'The chat template has no place for a system message: leave out --system.');
}
