/** Opening what commands share, with a progress bar. */
import { openModel, type HubModel } from '../formats/model';
import { formatBytes } from '../recipes';
import type { Arguments, Flag } from './arguments';
import { modelSource } from './sources';
import type { Terminal } from './terminal';

export const MODEL_FLAG: Flag = {
  value: 'MODEL',
  help: 'a model folder, a GGUF file, org/name[@revision] on the Hub, or starter',
};
export const ADAPTER_FLAG: Flag = { value: 'DIR', help: 'an adapter folder, as PEFT or Graft writes it' };

export async function modelArgument(args: Arguments): Promise<HubModel> {
  return openModel(
    await modelSource(
      args.required('model', 'name a model folder, a GGUF file, org/name on the Hub, or starter for the built-in one'),
    ),
  );
}

/** Shows how much of the weights has been loaded. */
export function loadingBar(terminal: Terminal): (loadedBytes: number, totalBytes: number) => void {
  return (loadedBytes, totalBytes) => {
    if (loadedBytes >= totalBytes) terminal.hideBar();
    else terminal.bar(loadedBytes / totalBytes, `loading ${formatBytes(loadedBytes)} of ${formatBytes(totalBytes)}`);
  };
}
