import { readdir } from 'node:fs/promises';
import { GraftError } from '../../core/errors';
import { exportCheckpoint, mergeModel } from '../../recipes';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { FolderStore, openFolder } from '../folders';
import { openNodeEngine } from '../gpu';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG } from '../loading';
import { openSource } from '../model-cache';
import { adapterSource, modelSource } from '../sources';
import type { Terminal } from '../terminal';
import { UsageError } from '../usage';

export const exportModel: Command = {
  name: 'export',
  summary: 'merge an adapter into its model: a model folder that loads anywhere',
  usage: '(--model MODEL --adapter DIR | --checkpoint DIR) --output DIR',
  syntax: {
    positionals: 0,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: ADAPTER_FLAG,
      checkpoint: { value: 'DIR', help: 'the folder of a run that was cut off: writes its adapter, without merging' },
      output: { value: 'DIR', help: 'a new folder for the merged model, or for the adapter' },
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const output = args.required('output', 'name a new folder for the merged model');
    const checkpoint = args.text('checkpoint');
    if (checkpoint !== undefined) return writeCheckpoint(checkpoint, output, args, terminal, signal);
    const say = (line: string) => terminal.say(line);
    const adapter = await adapterSource(args.required('adapter', 'name the adapter folder'), say, signal);
    const modelFiles = await modelSource(
      args.required('model', 'name a model folder, org/name on the Hub, or starter for the built-in one'),
      undefined,
      say,
      signal,
    );
    await refuseFilled(output);
    const model = await openSource(modelFiles, say);
    model.notices.forEach(say);
    const engine = await openNodeEngine((line) => terminal.say(line));
    try {
      const store = new FolderStore(output);
      const files = await mergeModel({ model, modelFiles, adapter, engine, store }, loadingBar(terminal), signal);
      terminal.emit({ kind: 'summary', output_dir: output, files });
      terminal.say(`The merged model is in ${output}: ${files.join(', ')}`);
    } finally {
      engine.destroy();
    }
  },
};

/** The adapter of a run's last checkpoint as a folder of its own; merging it is one more `graft export`. */
async function writeCheckpoint(
  run: string,
  output: string,
  args: Arguments,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  if (args.has('model') || args.has('adapter')) {
    throw new UsageError('--checkpoint takes neither --model nor --adapter: export the adapter first.');
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

async function refuseFilled(path: string): Promise<void> {
  const files = await readdir(path).catch(() => []);
  if (files.length === 0) return;
  throw new GraftError('bad-config', `${path} holds files already: name a new folder with --output.`);
}
