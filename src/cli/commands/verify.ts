import { verifyExport } from '../../recipes';
import type { Command } from '../command';
import { openNodeEngine } from '../gpu';
import { promptsArgument, refuseDifferent, verifyGguf } from '../gguf-files';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG, modelName } from '../loading';
import { openSource } from '../model-cache';
import { adapterFolder, modelSource } from '../sources';
import { UsageError } from '../usage';

export const verify: Command = {
  name: 'verify',
  summary: 'whether an exported file or folder is the model that it was made from',
  usage: 'PATH --model MODEL [--adapter DIR]',
  syntax: {
    positionals: 1,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: ADAPTER_FLAG,
      input: { value: 'FILE', help: 'rows whose prompts both are asked, as generate reads them' },
    },
  },
  async run(args, terminal, signal) {
    const [path] = args.positionals;
    if (path === undefined)
      throw new UsageError('Name the file or the folder to check: graft verify PATH --model MODEL.');
    const say = (line: string) => terminal.say(line);
    const prompts = await promptsArgument(args, signal);
    const adapter = await adapterFolder(args, say, signal);
    const model = await openSource(await modelSource(modelName(args), undefined, say, signal), say);
    const engine = await openNodeEngine(say);
    try {
      const sources = { model, adapter, engine, prompts };
      const found = /\.gguf$/i.test(path)
        ? await verifyGguf(sources, path, terminal, signal)
        : await verifyExport(
            { ...sources, exported: await openSource(await modelSource(path, undefined, say, signal), say) },
            loadingBar(terminal),
            signal,
          );
      terminal.emit({ kind: 'verification', path, ...found });
      refuseDifferent(path, found, terminal);
      terminal.say(`${path} is the model.`);
    } finally {
      engine.destroy();
    }
  },
};
