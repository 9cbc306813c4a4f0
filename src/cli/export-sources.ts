/** What every export is made from, as the command line names it. */
import { basename } from 'node:path';
import type { FileSource } from '../core/store';
import type { HubModel } from '../formats/model';
import { readPrompts, type Engine, type Prompt } from '../recipes';
import type { Arguments } from './arguments';
import { readInput } from './input';
import { modelName } from './loading';
import { openSource } from './model-cache';
import { adapterFolder, modelSource } from './sources';

/** Before there is an engine. */
export interface OpenedSources {
  readonly model: HubModel;
  /** As the command line names it. */
  readonly modelName: string;
  readonly modelFiles: FileSource;
  readonly adapter?: FileSource | undefined;
  readonly prompts?: readonly Prompt[] | undefined;
  /** Where they come from, as a card says it. */
  readonly promptsFrom?: string | undefined;
}

export interface ExportSources extends OpenedSources {
  readonly engine: Engine;
  /** Of a file for Ollama: its BOS is that of conversations. */
  readonly bosOfConversations?: boolean | undefined;
}

/** Opens what `--input`, `--adapter` and `--model` name, and says what there is to say of it. */
export async function openExportSources(
  args: Arguments,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<OpenedSources> {
  const prompts = await promptsArgument(args, signal);
  const adapter = await adapterFolder(args, say, signal);
  const name = modelName(args);
  const modelFiles = await modelSource(name, undefined, say, signal);
  const model = await openSource(modelFiles, say);
  model.notices.forEach(say);
  return { model, modelName: name, modelFiles, adapter, prompts, promptsFrom: promptsFrom(args) };
}

/** What is asked of a file and its model alike, from `--input`. */
export async function promptsArgument(args: Arguments, signal: AbortSignal): Promise<readonly Prompt[] | undefined> {
  const input = args.text('input');
  if (input === undefined) return undefined;
  const rows = await readPrompts(basename(input), await readInput(input, 'file of prompts', signal), false);
  return rows.slice(0, MOST_PROMPTS).map(({ prompt }) => prompt);
}

function promptsFrom(args: Arguments): string | undefined {
  const input = args.text('input');
  return input === undefined ? undefined : `the first of ${basename(input)}`;
}

/** Rows of `--input` that are asked: their logits lie in memory at once. */
const MOST_PROMPTS = 4;
