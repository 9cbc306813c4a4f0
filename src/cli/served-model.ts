/** What `graft serve` is to serve: the GGUF files of a path, how they are asked, and what Graft answers with them. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { decodeUtf8, type FileSource } from '../core/store';
import type { Message } from '../core/text';
import { openGguf, readLora } from '../formats/gguf';
import { openModel, type HubModel } from '../formats/model';
import { parseModelfile } from '../formats/ollama';
import type { Adapter } from '../formats/peft';
import {
  MODELFILE,
  openGenerator,
  parseRunFile,
  RUN_FILE,
  withRunTemplate,
  type Engine,
  type Generation,
} from '../recipes';
import { openFolder } from './folders';
import { describeMissing } from './input';

export interface ServedModel {
  readonly path: string;
  /** Of its GGUF file, and of one with an adapter that is applied to it. */
  readonly file: string;
  readonly adapterFile?: string | undefined;
  /** Where the path is a folder for Ollama. */
  readonly isForOllama: boolean;
  /** The system message of its Modelfile. */
  readonly system?: string | undefined;
  readonly repetitionPenalty: number;
  readonly contextLength?: number | undefined;
  /** Asked as the run that made it asks. */
  readonly model: HubModel;
  readonly adapter?: Adapter | undefined;
}

/** @throws `not-found` for a path where nothing is, `unsupported` for what no server reads */
export async function openServed(path: string, run: RunConfig | undefined): Promise<ServedModel> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw await describeMissing(path, 'file or folder');
  if (!found.isDirectory() && !/\.gguf$/i.test(path)) throw refusal(path);
  const text = found.isDirectory() ? await readModelfile(await openFolder(path)) : undefined;
  if (found.isDirectory() && text === undefined) throw refusal(path);
  const instructions = text === undefined ? [] : parseModelfile(text, `${MODELFILE} in ${path}`);
  const valueOf = (name: string) => instructions.findLast((instruction) => instruction.name === name)?.value;
  const fileOf = (name: string) => {
    const value = valueOf(name);
    return value === undefined ? undefined : join(path, value);
  };
  const file = text === undefined ? path : fileOf('from');
  if (file === undefined || !/\.gguf$/i.test(file)) throw refusal(path);
  const model = withRunVariables(run, await openModel(await openGguf(await openFolder(dirname(file)), basename(file))));
  const adapterFile = fileOf('adapter');
  return {
    ...{ path, file, adapterFile, isForOllama: text !== undefined, system: valueOf('system'), model },
    repetitionPenalty: Number(valueOf('repeat_penalty') ?? 1),
    ...(valueOf('num_ctx') !== undefined && { contextLength: Number(valueOf('num_ctx')) }),
    adapter: adapterFile && (await readLora(await openFolder(dirname(adapterFile)), basename(adapterFile), model.spec)),
  } as ServedModel;
}

function refusal(path: string): GraftError {
  return new GraftError(
    'unsupported',
    `${path} is nothing that llama.cpp or Ollama serve: name a GGUF file, or a folder that graft export --format ollama wrote.`,
  );
}

async function readModelfile(folder: FileSource): Promise<string | undefined> {
  return (await folder.size(MODELFILE)) === undefined ? undefined : decodeUtf8(await folder.read(MODELFILE));
}

/** The file's own template, with the variables that the run gives it. */
function withRunVariables(run: RunConfig | undefined, model: HubModel): HubModel {
  return withRunTemplate({ chat_template_kwargs: run?.chat_template_kwargs }, model);
}

/** The run whose folder this is; undefined of another program's adapter. */
export async function runOfFolder(folder: FileSource | undefined): Promise<RunConfig | undefined> {
  if (!folder || (await folder.size(RUN_FILE)) === undefined) return undefined;
  return parseRunFile(await folder.read(RUN_FILE), `${RUN_FILE} in ${folder.name}`);
}

/** What Graft says with the same files, the likeliest token each time. */
export async function answerHere(
  { model, adapter, adapterFile, repetitionPenalty }: ServedModel,
  messages: readonly Message[],
  maxNewTokens: number,
  engine: Engine,
  report: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<Generation> {
  const content = adapter && { name: adapterFile ?? 'the adapter', content: adapter };
  const generator = await openGenerator({ model, engine, adapter: content }, report, signal);
  try {
    const greedy = { temperature: 0, topP: 1, topK: 0, repetitionPenalty, seed: 0, stop: [], useAdapter: true };
    return await generator.generate({ kind: 'chat', messages }, { ...greedy, maxNewTokens }, undefined, signal);
  } finally {
    generator.dispose();
  }
}
