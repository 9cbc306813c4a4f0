import { FILE_TYPES, LORA_TYPES } from '../../formats/gguf';
import { exportCheckpoint } from '../../recipes';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { openExportSources } from '../export-sources';
import { FolderStore, openFolder, refuseFilled } from '../folders';
import { cardOf, fileType, loraType, refuseTaken, writeGguf, writeLora } from '../gguf-files';
import { openNodeEngine } from '../gpu';
import { exportInt4Folder, INT4_FLAGS, refuseInt4Flags } from '../int4-folder';
import { ADAPTER_FLAG, MODEL_FLAG } from '../loading';
import { exportMergedFolder } from '../merged-folder';
import { writeOllama } from '../ollama-folder';
import { modelSource } from '../sources';
import type { Terminal } from '../terminal';
import { UsageError } from '../usage';

export const exportModel: Command = {
  name: 'export',
  summary: 'a model with its adapter merged in, as a folder, a GGUF file or in 4 bits, or the adapter alone as GGUF',
  usage:
    '(--model MODEL [--adapter DIR] [--format FORMAT] [--type TYPE] [--input FILE] [--keep-adapter] [--system TEXT] [--data FILE] [--group-size N] [--sym true|false] [--desc-act] | --checkpoint DIR) --output PATH',
  syntax: {
    positionals: 0,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: ADAPTER_FLAG,
      format: {
        value: 'FORMAT',
        help: 'merged, a model folder that loads anywhere; gguf, one file for llama.cpp and Ollama, with or without an adapter; gguf-lora, the adapter alone for them; ollama, a folder with such a file and a Modelfile; gptq or awq, a folder in 4 bits for vLLM and Transformers',
        default: 'merged',
      },
      type: {
        value: 'TYPE',
        help: `how GGUF stores weights: ${Object.keys(FILE_TYPES).join(', ')}; gguf-lora: ${LORA_TYPES.join(', ')}`,
        default: 'F16, gguf-lora: F32',
      },
      'keep-adapter': { help: 'ollama: the adapter in a file of its own, which Ollama applies, instead of merged' },
      system: { value: 'TEXT', help: 'ollama: the system message of conversations that bring none' },
      input: { value: 'FILE', help: 'rows whose prompts the export is checked with, as generate reads them' },
      ...INT4_FLAGS,
      checkpoint: { value: 'DIR', help: 'the folder of a run that was cut off: writes its adapter, without merging' },
      output: {
        value: 'PATH',
        help: 'a new folder for the merged or quantised model, or for the adapter; a new file for GGUF',
      },
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const output = args.required('output', 'name a new folder, or for GGUF a new file');
    const checkpoint = args.text('checkpoint');
    if (checkpoint !== undefined) return writeCheckpoint(checkpoint, output, args, terminal, signal);
    const format = formatOf(args);
    for (const flag of ['keep-adapter', 'system'] as const) {
      if (args.has(flag) && format !== 'ollama') throw new UsageError(`--${flag} goes with --format ollama.`);
    }
    refuseInt4Flags(args, format);
    if (format === 'gguf' || format === 'gguf-lora' || format === 'ollama')
      return exportGgufFile(format, output, args, terminal, signal);
    if (args.has('type')) throw new UsageError('--type goes with --format gguf, gguf-lora or ollama.');
    if (format === 'merged') return exportMergedFolder(output, args, terminal, signal);
    return exportInt4Folder(format, output, args, terminal, signal);
  },
};

const FORMATS = ['merged', 'gguf', 'gguf-lora', 'ollama', 'gptq', 'awq'] as const;

function formatOf(args: Arguments): (typeof FORMATS)[number] {
  const given = args.text('format') ?? 'merged';
  const format = FORMATS.find((known) => known === given);
  if (format) return format;
  throw new UsageError(`--format must be one of ${FORMATS.join(', ')}, but is ${JSON.stringify(given)}.`);
}

/** A GGUF file, of the model or of the adapter, or a folder with such files, written and read back. */
async function exportGgufFile(
  format: 'gguf' | 'gguf-lora' | 'ollama',
  output: string,
  args: Arguments,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const isFolder = format === 'ollama';
  if (!isFolder && !/\.gguf$/i.test(output)) {
    throw new UsageError(`--output must name a file that ends in .gguf, but is ${output}.`);
  }
  const type = format === 'gguf-lora' ? undefined : fileType(args);
  const ofLora = format === 'gguf-lora' ? loraType(args) : undefined;
  const isApart = args.has('keep-adapter');
  if (ofLora || isApart) args.required('adapter', 'name the adapter folder');
  await (isFolder ? refuseFilled(output) : refuseTaken(output));
  if (!isFolder) await refuseTaken(cardOf(output));
  const say = (line: string) => terminal.say(line);
  const opened = await openExportSources(args, say, signal);
  const { adapter } = opened;
  const engine = await openNodeEngine(say);
  try {
    const sources = { ...opened, engine };
    const options = { system: args.text('system'), loraType: isApart ? ('F32' as const) : undefined };
    if (type && isFolder) await writeOllama(sources, { type, ...options }, output, terminal, signal);
    else if (type) await writeGguf(sources, type, output, terminal, signal);
    else if (ofLora && adapter) await writeLora({ ...sources, adapter }, ofLora, output, terminal, signal);
  } finally {
    engine.destroy();
  }
}

/** The adapter of a run's last checkpoint as a folder of its own; merging it is one more `graft export`. */
async function writeCheckpoint(
  run: string,
  output: string,
  args: Arguments,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  if (
    ['model', 'adapter', 'format', 'type', 'input', 'keep-adapter', 'system', ...Object.keys(INT4_FLAGS)].some((flag) =>
      args.has(flag),
    )
  ) {
    throw new UsageError('--checkpoint takes --output alone, and writes an adapter: export that then.');
  }
  await openFolder(run);
  await refuseFilled(output);
  const { step, files } = await exportCheckpoint(new FolderStore(run), (name, revision) =>
    modelSource(name, revision, (line) => terminal.say(line), signal),
  );
  const store = new FolderStore(output);
  for (const { name, bytes } of files) await store.write(name, bytes);
  const names = files.map(({ name }) => name);
  terminal.emit({ kind: 'summary', output_dir: output, files: names, step });
  terminal.say(`What the run had learned by step ${step} is in ${output}: ${names.join(', ')}`);
}
