import { readdir } from 'node:fs/promises';
import { GraftError } from '../../core/errors';
import { openModel } from '../../formats/model';
import { mergeModel } from '../../recipes';
import type { Command } from '../command';
import { FolderStore, openFolder } from '../folders';
import { openNodeEngine } from '../gpu';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG } from '../loading';
import { modelSource } from '../sources';

export const exportModel: Command = {
  name: 'export',
  summary: 'merge an adapter into its model: a model folder that loads anywhere',
  usage: '--model MODEL --adapter DIR --output DIR',
  syntax: {
    positionals: 0,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: ADAPTER_FLAG,
      output: { value: 'DIR', help: 'a new folder for the merged model' },
    },
  },
  async run(args, terminal, signal) {
    const output = args.required('output', 'name a new folder for the merged model');
    const adapter = await openFolder(args.required('adapter', 'name the adapter folder'));
    const modelFiles = await modelSource(
      args.required('model', 'name a model folder, or starter for the built-in one'),
    );
    await refuseFilled(output);
    const model = await openModel(modelFiles);
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

async function refuseFilled(path: string): Promise<void> {
  const files = await readdir(path).catch(() => []);
  if (files.length === 0) return;
  throw new GraftError('bad-config', `${path} holds files already: name a new folder with --output.`);
}
