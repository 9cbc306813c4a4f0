/** Folders with a model in the types of its base, an adapter merged into it, that the command line writes and reads back. */
import { basename } from 'node:path';
import { openModel } from '../formats/model';
import { CARD, mergeModel, verifyExport } from '../recipes';
import type { Exported } from '../formats/export-card';
import type { Arguments } from './arguments';
import { openExportSources, type ExportSources } from './export-sources';
import { FolderStore, openFolder, refuseFilled } from './folders';
import { refuseDifferent, writeCard } from './gguf-files';
import { openNodeEngine } from './gpu';
import { loadingBar } from './loading';
import type { Terminal } from './terminal';

/** Merges an adapter, reads the folder back and says how near it is. @throws `bad-file` where it isn't the model */
export async function exportMergedFolder(
  output: string,
  args: Arguments,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  args.required('adapter', 'name the adapter folder');
  await refuseFilled(output);
  const say = (line: string) => terminal.say(line);
  const { adapter, ...opened } = await openExportSources(args, say, signal);
  if (!adapter) throw new Error('the adapter that is required was not opened');
  const engine = await openNodeEngine(say);
  try {
    const sources = { ...opened, adapter, engine };
    const files = await mergeModel({ ...sources, store: new FolderStore(output) }, loadingBar(terminal), signal);
    say(`The merged model is in ${output}: ${files.join(', ')}; reading it back …`);
    await finishFolder(sources, { kind: 'merged', folder: basename(output) }, { files }, output, terminal, signal);
  } finally {
    engine.destroy();
  }
}

export interface WrittenFolder {
  readonly files: readonly string[];
  /** In 4 bits: by which method. */
  readonly type?: string;
  readonly notices?: readonly string[];
}

/** Reads a folder back, writes its card and says what was found. @throws `bad-file` where it isn't the model */
export async function finishFolder(
  sources: ExportSources,
  exported: Exported,
  { files, notices = [], ...facts }: WrittenFolder,
  output: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const read = await openModel(await openFolder(output));
  const found = await verifyExport({ ...sources, exported: read }, loadingBar(terminal), signal);
  await writeCard(sources, exported, found, notices, output);
  const summary = { output_dir: output, files: [...files, CARD], ...facts, notices, verification: found };
  terminal.emit({ kind: 'summary', ...summary });
  refuseDifferent(output, found, terminal);
}
