/** What the command line names, as folders and files: paths first, then what ships with Graft, then the Hub. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatSize } from '../core/bytes';
import { parseGivenRun, parseRunConfig, type GivenRun, type RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { plural } from '../core/format';
import { derivedSource, type FileSource } from '../core/store';
import { hubLayout, openGguf } from '../formats/gguf';
import { readAdapter, type Adapter } from '../formats/peft';
import { isRepoId, parseModelName } from '../hub/names';
import { weightStorage, type DatasetFile, type WeightStorage } from '../recipes';
import type { Arguments } from './arguments';
import { openFolder } from './folders';
import { openHubModel } from './hub';
import { describeMissing, MOST_OF_SETTINGS, readInput, readInputText, STANDARD_INPUT } from './input';
import { asUsage, UsageError } from './usage';

/** The folder of Graft's package.json, above this file in the source and in the build alike. */
export function packageRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'graft')
      return folder;
    if (folder === dirname(folder)) throw new Error('Graft runs outside its package');
  }
}

/**
 * A model: the path of a folder or a GGUF file, a built-in name, or `org/name` or `org/name@revision` on the Hub;
 * `revision` holds where the name has none of its own. `say` hears what goes on with the Hub, and `signal`
 * ends reading from there.
 * @throws `not-found` saying what to do; what the Hub refuses
 */
export async function modelSource(
  name: string,
  revision: string | undefined,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<FileSource> {
  if (/\.gguf$/i.test(name) && (await exists(name))) return openGguf(await openFolder(dirname(name)), basename(name));
  if (await exists(name)) return hubLayout(await openFolder(name, false, 'a model folder or a GGUF file (*.gguf)'));
  const builtIn = join(packageRoot(), 'public/models', name);
  if (/^[\w.-]+$/.test(name) && (await exists(join(builtIn, 'config.json')))) return openFolder(builtIn);
  const onHub = parseModelName(name);
  if (onHub) return hubLayout(await hubFolder(name, onHub, revision ?? 'main', say, signal));
  throw new GraftError(
    'not-found',
    `There is no model ${name}: name a folder that holds config.json, a GGUF file, org/name for a model on the Hub, or starter for the built-in one.`,
  );
}

/** A dataset's bytes: a path, `-` for standard input, or a built-in name. */
export async function datasetFile(name: string, signal: AbortSignal): Promise<DatasetFile> {
  const builtIn = join(packageRoot(), 'public/datasets', `${name}.jsonl`);
  const path = (await exists(name)) || !/^[\w.-]+$/.test(name) || !(await exists(builtIn)) ? name : builtIn;
  if (/\.ya?ml$/i.test(path)) {
    throw new GraftError(
      'bad-data',
      `The dataset ${path} is a YAML file, as run files are: give a run file without --data, and as dataset JSON or JSON Lines.`,
    );
  }
  if (!STANDARD_INPUT.has(path) && isRepoId(path) && extname(path) === '' && !(await exists(path))) {
    throw new GraftError(
      'not-found',
      `There is no file ${path}, and datasets are not fetched from the Hub yet: download the file with its rows (JSON or ` +
        `JSON Lines) from ${path} and name that.`,
    );
  }
  if (!STANDARD_INPUT.has(path) && !(await exists(path)))
    throw await describeMissing(path, 'dataset', builtInDatasets());
  const bytes = await readInput(path, 'dataset', signal);
  return { name: STANDARD_INPUT.has(path) ? 'standard input' : basename(path), bytes };
}

/** The names that stand for datasets that ship with Graft. */
function builtInDatasets(): string[] {
  const files = readdirSync(join(packageRoot(), 'public/datasets'));
  return files.filter((file) => file.endsWith('.jsonl')).map((file) => basename(file, '.jsonl'));
}

/**
 * The adapter folder that a name stands for: a path, or `org/name` or `org/name@revision` on the Hub.
 * @throws `not-found` saying what to do; what the Hub refuses
 */
export async function adapterSource(
  name: string,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<FileSource> {
  const onHub = (await exists(name)) ? undefined : parseModelName(name);
  return onHub ? readWhole(await hubFolder(name, onHub, 'main', say, signal)) : openFolder(name);
}

/** The adapter folder that `--adapter` names, opened once for all that a command reads of it. */
export function adapterFolder(
  args: Arguments,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<FileSource> | undefined {
  const name = args.text('adapter');
  if (name === undefined) return undefined;
  const opened = openedAdapters.get(args) ?? adapterSource(name, say, signal);
  openedAdapters.set(args, opened);
  return opened;
}

const openedAdapters = new WeakMap<Arguments, Promise<FileSource>>();

/** What one array of bytes holds everywhere. */
const MOST_OF_ADAPTER = 2 ** 32 - 2 ** 20;

/** A folder of the Hub whose files are small enough to be read whole, each once: so they are held against their hashes. */
function readWhole(source: FileSource): FileSource {
  const files = new Map<string, Promise<Uint8Array>>();
  return derivedSource(source, {
    read: async (file, start = 0, end?) => {
      const size = (await source.size(file)) ?? 0;
      if (size > MOST_OF_ADAPTER) {
        const limit = `more than ${formatSize(MOST_OF_ADAPTER)} are not read of a file beside an adapter`;
        throw new GraftError('bad-file', `${file} of ${source.name} has ${plural(size, 'byte')}; ${limit}.`);
      }
      const bytes = files.get(file) ?? source.read(file);
      files.set(file, bytes);
      return (await bytes).subarray(start, end);
    },
  });
}

/** A repository of the Hub, where there is no path of its name. */
async function hubFolder(
  name: string,
  { repo, revision }: { repo: string; revision?: string },
  defaultRevision: string,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<FileSource> {
  return openHubModel(repo, revision ?? defaultRevision, say, undefined, signal).catch((error: unknown) => {
    // A path that was mistyped may look like such a name: both are said, whatever came of it.
    const isUnknown = error instanceof GraftError && ['not-found', 'network'].includes(error.code);
    if (!isUnknown) throw error;
    const other =
      error.code === 'not-found'
        ? `There is no folder ${name} here either.`
        : `There is no folder ${name} here, so that it was taken for a name on the Hub.`;
    throw new GraftError(error.code, `${error.message} ${other}`, { cause: error });
  });
}

/** The adapter that `--adapter` names. */
export async function adapterArgument(
  args: Arguments,
  say: (line: string) => void,
): Promise<{ name: string; content: Adapter } | undefined> {
  const folder = await adapterFolder(args, say);
  return folder && { name: folder.name, content: await readAdapter(folder) };
}

/** How the base is kept beside an adapter: as the run that trained it did, or in 4 bits where the flag says so. */
export async function storageArgument(args: Arguments, say: (line: string) => void): Promise<WeightStorage> {
  const folder = await adapterFolder(args, say);
  const storage = folder ? await weightStorage(folder) : {};
  return args.has('load-in-4bit') ? { use_bnb_nested_quant: true, ...storage, load_in_4bit: true } : storage;
}

/** @throws UsageError for the name of a dataset where a run file is expected. */
function refuseDataset(path: string | undefined): void {
  if (path === undefined || !/\.(jsonl|csv|tsv|parquet)$/i.test(path)) return;
  throw new UsageError(`${path} is a dataset by its name, and no run file: give it as --data ${path}.`);
}

/** Flags that stand for keys of the run file. */
const SHORTHANDS = { model: 'model_name_or_path', data: 'dataset', output: 'output_dir' } as const;

/**
 * The run that RUN.yaml and the flags describe; without a file, the defaults. Relative paths are the caller's; a
 * revision behind the model's name is moved to its own key.
 */
export async function runArgument(args: Arguments, signal: AbortSignal, defaultPath?: string): Promise<GivenRun> {
  return runOverrides(args, args.positionals[0] ?? defaultPath, signal);
}

/** The run of a run file, or the defaults without one, with what the flags change. */
export async function runOverrides(args: Arguments, path: string | undefined, signal: AbortSignal): Promise<GivenRun> {
  refuseDataset(path);
  const text = path === undefined ? '' : await readInputText(path, 'run file', signal, MOST_OF_SETTINGS);
  const overrides: Record<string, string> = { ...args.overrides };
  for (const [flag, key] of Object.entries(SHORTHANDS)) {
    const value = args.text(flag);
    if (value !== undefined) overrides[key] = value;
  }
  asUsage(() => parseRunConfig('', overrides)); // what is wrong with a flag is no fault of the file
  const { run: read, given } = parseGivenRun(text, overrides, path);
  const run = await readChatTemplate(read, signal);
  const named = (await exists(run.model_name_or_path)) ? undefined : parseModelName(run.model_name_or_path);
  if (named?.revision === undefined) return { run, given };
  return { run: { ...run, model_name_or_path: named.repo, revision: named.revision }, given };
}

/** The run with the text of the template file that it names: a run carries its template along. */
async function readChatTemplate(run: RunConfig, signal: AbortSignal): Promise<RunConfig> {
  const { chat_template_path: path, ...rest } = run;
  if (path === undefined) return run;
  if (run.chat_template !== undefined) {
    throw new GraftError('bad-config', 'The run has both chat_template and chat_template_path: leave one of them out.');
  }
  return {
    ...rest,
    chat_template_path: undefined,
    chat_template: await readInputText(path, 'chat template', signal, MOST_OF_SETTINGS),
  };
}

/** The dataset of a run. @throws UsageError where it names none */
export async function runDataset(run: RunConfig, signal: AbortSignal): Promise<DatasetFile> {
  if (run.dataset === undefined) {
    throw new UsageError('The run has no dataset: write dataset: FILE into the run file, or add --data FILE.');
  }
  return datasetFile(run.dataset, signal);
}

/** Whether two paths are the same place. */
export function samePath(a: string, b: string): boolean {
  return resolve(a) === resolve(b);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
