/** Tokenizer and template of the model that a command names. */
import type { RunConfig } from '../core/config';
import { openTextModel, type HubText } from '../formats/text-model';
import { withRunTemplate } from '../recipes';
import { modelSource } from './sources';

/** The model's text side as a run asks it. */
export async function openRunText(
  name: string,
  run: RunConfig,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<HubText> {
  return withRunTemplate(run, await openTextModel(await modelSource(name, run.revision, say, signal)));
}
