/** Opening what commands share, with a progress bar. */
import { formatBytes } from '../core/bytes';
import { parseRunConfig } from '../core/config';
import type { HubModel } from '../formats/model';
import { unreadVariables, withRunTemplate, withTemplateOfRun } from '../recipes';
import type { Arguments, Flag } from './arguments';
import { openSource } from './model-cache';
import { adapterFolder, modelSource } from './sources';
import type { Terminal } from './terminal';
import { asUsage } from './usage';

export const MODEL_FLAG: Flag = {
  value: 'MODEL',
  help: 'a model folder, a GGUF file, org/name[@revision] on the Hub, or starter',
};
export const ADAPTER_FLAG: Flag = {
  value: 'DIR',
  help: 'an adapter folder, as PEFT or Graft writes it, or org/name[@revision] on the Hub',
};

/** What `--model` says. */
export function modelName(args: Arguments): string {
  return args.required(
    'model',
    'name a model folder, a GGUF file, org/name on the Hub, or starter for the built-in one',
  );
}

export async function modelArgument(args: Arguments, terminal: Terminal, signal: AbortSignal): Promise<HubModel> {
  const name = modelName(args);
  const say = (line: string) => terminal.say(line);
  const model = await openSource(await modelSource(name, undefined, say, signal), say);
  model.notices.forEach(say);
  // Training and asking agree on the template where the adapter brings its own.
  const adapter = await adapterFolder(args, say, signal);
  const withTemplate = adapter ? await withTemplateOfRun(model, adapter) : model;
  const variables = args.text('chat-template-kwargs');
  if (variables === undefined) return withTemplate;
  const { chat_template_kwargs } = asUsage(() => parseRunConfig('', { chat_template_kwargs: variables }));
  unreadVariables({ chat_template_kwargs }, withTemplate.template).forEach(say);
  return withRunTemplate({ chat_template_kwargs }, withTemplate);
}

/** Shows how much of the weights has been loaded. */
export function loadingBar(terminal: Terminal): (loadedBytes: number, totalBytes: number) => void {
  return (loadedBytes, totalBytes) => {
    if (loadedBytes >= totalBytes) terminal.hideBar();
    else terminal.bar(loadedBytes / totalBytes, `loading ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`);
  };
}
