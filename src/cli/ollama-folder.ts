/** Folders for Ollama that the command line writes, and reading them back. */
import { basename, dirname, join } from 'node:path';
import { formatBytes } from '../core/bytes';
import { GraftError } from '../core/errors';
import { decodeUtf8 } from '../core/store';
import type { FileType, LoraType } from '../formats/gguf';
import { parseModelfile } from '../formats/ollama';
import { withTemplateOf } from '../formats/saved-template';
import { CARD, exportOllama, MODELFILE, verifyModelfile, type Verification } from '../recipes';
import type { ExportSources } from './export-sources';
import { FolderStore, openFolder } from './folders';
import { refuseDifferent, verifyGguf, writeCard } from './gguf-files';
import { loadingBar } from './loading';
import type { Terminal } from './terminal';

export interface OllamaOptions {
  readonly type: FileType;
  /** Of the adapter's file, where it is to have one of its own. */
  readonly loraType?: LoraType | undefined;
  readonly system?: string | undefined;
}

/** Writes a model as a folder for Ollama, reads it back, and says how near it is. @throws `bad-file` where it isn't the model */
export async function writeOllama(
  sources: ExportSources,
  { type, loraType, system }: OllamaOptions,
  output: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const apart = loraType && { file: 'adapter.gguf', type: loraType };
  const file = apart ? `base-${type}.gguf` : `model-${type}.gguf`;
  const store = new FolderStore(output);
  const written = await exportOllama({ ...sources, store, file, type, apart, system }, loadingBar(terminal), signal);
  written.notices.forEach((notice) => terminal.say(notice));
  const files = written.files.map(({ name, size }) => `${name} (${formatBytes(size)})`);
  terminal.say(`${output} holds ${files.join(', ')}; reading it back …`);
  const found = await verifyOllama(sources, output, terminal, signal);
  const { files: list, notices } = written;
  await writeCard(sources, { kind: 'ollama', folder: basename(output), type }, found, notices, output);
  terminal.emit({
    kind: 'summary',
    output_dir: output,
    files: [...list, { name: CARD }],
    type,
    notices,
    verification: found,
  });
  refuseDifferent(output, found, terminal);
  terminal.say(`${output} is the model. In that folder: ollama create NAME -f ${MODELFILE}`);
}

/** How what a folder holds for Ollama differs from the model. */
export async function verifyOllama(
  sources: Omit<ExportSources, 'modelFiles'>,
  path: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Verification> {
  const folder = await openFolder(path);
  const text = decodeUtf8(await folder.read(MODELFILE));
  const instructions = parseModelfile(text, `${MODELFILE} in ${path}`);
  const fileOf = (name: string) => {
    const value = instructions.findLast((instruction) => instruction.name === name)?.value;
    return value === undefined ? undefined : join(path, value);
  };
  const [model, adapter] = [fileOf('from'), fileOf('adapter')];
  if (model === undefined) throw new GraftError('bad-file', `${MODELFILE} in ${path} has no FROM.`);
  if (!/\.gguf$/i.test(model)) {
    throw new GraftError(
      'unsupported',
      `${MODELFILE} in ${path} has a FROM that is no GGUF file beside it: ${basename(model)}.`,
    );
  }
  const isApart = adapter !== undefined;
  const asked = isApart && sources.adapter ? await withTemplateOf(sources.model, sources.adapter) : sources.model;
  const merged = { ...sources, model: asked, adapter: isApart ? undefined : sources.adapter, bosOfConversations: true };
  const found = await verifyGguf(merged, model, terminal, signal);
  const applied = isApart ? await verifyGguf(sources, adapter, terminal, signal) : undefined;
  const findings = await verifyModelfile(sources, text, await openFolder(dirname(model)), basename(model));
  return {
    ...found,
    ...applied,
    findings: [...found.findings, ...(applied?.findings ?? []), ...findings],
    notices: [...found.notices, ...(applied?.notices ?? [])],
  };
}
