import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseModelName } from '../../hub/names';
import { MODELFILE, verifyExport } from '../../recipes';
import type { Command } from '../command';
import { promptsArgument } from '../export-sources';
import { openNodeEngine } from '../gpu';
import { refuseDifferent, verifyGguf } from '../gguf-files';
import { describeMissing } from '../input';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG, modelName } from '../loading';
import { openSource } from '../model-cache';
import { verifyOllama } from '../ollama-folder';
import { adapterFolder, modelSource } from '../sources';
import { UsageError } from '../usage';

export const verify: Command = {
  name: 'verify',
  summary: 'whether an exported file or folder is the model that it was made from',
  usage: 'PATH --model MODEL [--adapter DIR] [--input FILE]',
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
    const kind = await kindOf(path);
    const prompts = await promptsArgument(args, signal);
    const adapter = await adapterFolder(args, say, signal);
    const model = await openSource(await modelSource(modelName(args), undefined, say, signal), say);
    const exported =
      kind === 'model' ? await openSource(await modelSource(path, undefined, say, signal), say) : undefined;
    const engine = await openNodeEngine(say);
    try {
      const sources = { model, modelName: modelName(args), adapter, engine, prompts };
      const found = exported
        ? await verifyExport({ ...sources, exported }, loadingBar(terminal), signal)
        : await (kind === 'ollama' ? verifyOllama : verifyGguf)(sources, path, terminal, signal);
      terminal.emit({ kind: 'verification', path, ...found });
      refuseDifferent(path, found, terminal);
      terminal.say(
        `${path} holds what it was made from: it says what ${adapter ? `${modelName(args)} with its adapter` : modelName(args)} says.`,
      );
    } finally {
      engine.destroy();
    }
  },
};

/** What is to be checked, by its path alone. @throws `not-found` where nothing is there, and it is no name on the Hub */
async function kindOf(path: string): Promise<'gguf' | 'ollama' | 'model'> {
  const isThere = async (file: string) => (await stat(file).catch(() => undefined)) !== undefined;
  const isGguf = /\.gguf$/i.test(path);
  if (!(await isThere(path)) && (isGguf || !parseModelName(path))) throw await describeMissing(path, 'file or folder');
  if (isGguf) return 'gguf';
  return (await isThere(join(path, MODELFILE))) ? 'ollama' : 'model';
}
