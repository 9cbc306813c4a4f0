/** What the command line names, as folders and files: paths first, then what ships with Graft, then the Hub. */
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { ByteCollector } from '../core/byte-collector';
import { formatSize } from '../core/bytes';
import { parseRunConfig, type RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { fileKind } from '../core/file-kinds';
import { plural } from '../core/format';
import { suggestName } from '../core/nearest';
import { decodeUtf8, derivedSource, type FileSource } from '../core/store';
import { hubLayout, openGguf } from '../formats/gguf';
import { readAdapter, type Adapter } from '../formats/peft';
import { isRepoId, parseModelName } from '../hub/names';
import { weightStorage, type DatasetFile, type WeightStorage } from '../recipes';
import type { Arguments } from './arguments';
import { reason } from './disk';
import { openFolder } from './folders';
import { openHubModel } from './hub';
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
export async function datasetFile(name: string): Promise<DatasetFile> {
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
  const bytes = await readInput(path, 'dataset');
  return { name: STANDARD_INPUT.has(path) ? 'standard input' : basename(path), bytes };
}

/** Read as a stream: a socket or a terminal can't be opened by its path. */
const STANDARD_INPUT: ReadonlySet<string> = new Set(['-', '/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']);

/** The names that stand for datasets that ship with Graft. */
function builtInDatasets(): string[] {
  const files = readdirSync(join(packageRoot(), 'public/datasets'));
  return files.filter((file) => file.endsWith('.jsonl')).map((file) => basename(file, '.jsonl'));
}

/** What to do where there is no file of that name: the one that was meant, beside it or among the built-in ones. */
async function describeMissing(path: string, what: string, builtIn: readonly string[] = []): Promise<GraftError> {
  const cause: unknown = await stat(path).catch((error: unknown) => error);
  if (cause instanceof Error && !['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) {
    return new GraftError('not-found', `The ${what} ${path} can't be read: ${reason(cause)}. Name another file.`, {
      cause,
    });
  }
  const folder = dirname(path);
  const beside = await readdir(folder).catch(() => undefined);
  const meant =
    suggestName(path, builtIn) ??
    suggestName(basename(path), beside ?? [])?.replace(/^/, folder === '.' ? '' : `${folder}/`);
  const guess = meant === undefined ? '' : ` Did you mean ${meant}?`;
  const known = builtIn.length === 0 ? '' : `, or a built-in one (${builtIn.join(', ')})`;
  const advice = beside === undefined ? `there is no folder ${folder}` : `check its path, or name another file${known}`;
  return new GraftError('not-found', `There is no ${what} ${path}: ${advice}.${guess}`);
}

/** The text of an input file. Throws `bad-file` for one that holds no text in UTF-8, and says what it is. */
export async function readInputText(path: string, what: string, most = MOST_OF_TEXT): Promise<string> {
  const bytes = await readInput(path, what, most);
  try {
    return decodeUtf8(bytes);
  } catch {
    const found = fileKind(bytes)?.what ?? 'is not UTF-8';
    throw new GraftError('bad-file', `The ${what} ${path} ${found}; a text file in UTF-8 is expected.`);
  }
}

/** Most bytes of an input, all of which is held in memory. */
const MOST_OF_INPUT = 2 ** 31 - 2 ** 20;
/** Most bytes of one that is read as one text: more doesn't fit a string of JavaScript. */
const MOST_OF_TEXT = 2 ** 29 - 2 ** 20;
/** Most bytes of what doesn't say how long it is, a pipe or a device: it may have no end. */
const MOST_WITHOUT_SIZE = 2 ** 27;
/** Most bytes of a run file or a template: far more than anyone writes. */
const MOST_OF_SETTINGS = 2 ** 24;

/** The bytes of an input file, a pipe, or `-` for standard input. `what` is what the message calls it. */
export async function readInput(path: string, what: string, most = MOST_OF_INPUT): Promise<Uint8Array> {
  if (STANDARD_INPUT.has(path)) return collect(process.stdin, `The ${what} on standard input`, most);
  const found = await stat(path).catch(() => undefined);
  if (!found) throw await describeMissing(path, what);
  if (found.isDirectory()) {
    const files = await readdir(path).catch(() => []);
    const rows = files.find((file) => /\.(jsonl?|csv|parquet)$/i.test(file) && !file.endsWith('config.json'));
    const such = rows === undefined ? '' : `, such as ${join(path, rows)}`;
    throw new GraftError('not-found', `The ${what} ${path} is a folder; a file is expected${such}.`);
  }
  const name = `The ${what} ${path}`;
  if (found.size > most) {
    const limit = `more than ${formatSize(most)} are not read: split it, or take a part of it`;
    throw new GraftError('bad-file', `${name} has ${plural(found.size, 'byte')}; ${limit}.`);
  }
  return collect(
    createReadStream(path, { highWaterMark: 2 ** 20 }),
    name,
    found.isFile() ? most : Math.min(most, MOST_WITHOUT_SIZE),
  );
}

/** All that a stream gives, up to a limit, which is lower for what is no file. */
async function collect(stream: Readable, name: string, most: number): Promise<Uint8Array> {
  const limit = stream === process.stdin ? Math.min(most, MOST_WITHOUT_SIZE) : most;
  const collected = new ByteCollector(limit);
  let bytes = 0;
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      bytes += piece.byteLength;
      if (bytes > limit) break;
      collected.add(piece);
    }
  } catch (cause) {
    throw new GraftError('storage', `${name} can't be read: ${reason(cause)}.`, { cause });
  }
  if (bytes <= limit) return collected.take();
  const found = `goes on after ${formatSize(limit)}, and no more is read of what doesn't say how long it is`;
  throw new GraftError('bad-file', `${name} ${found}: save what is wanted of it as a file.`);
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
    if (!(error instanceof GraftError) || error.code !== 'not-found') throw error;
    throw new GraftError(error.code, `${error.message} There is no folder ${name} here either.`, { cause: error });
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
export async function runArgument(args: Arguments, defaultPath?: string): Promise<RunConfig> {
  return runOverrides(args, args.positionals[0] ?? defaultPath);
}

/** The run of a run file, or the defaults without one, with what the flags change. */
export async function runOverrides(args: Arguments, path: string | undefined): Promise<RunConfig> {
  refuseDataset(path);
  const text = path === undefined ? '' : await readInputText(path, 'run file', MOST_OF_SETTINGS);
  const overrides: Record<string, string> = { ...args.overrides };
  for (const [flag, key] of Object.entries(SHORTHANDS)) {
    const value = args.text(flag);
    if (value !== undefined) overrides[key] = value;
  }
  asUsage(() => parseRunConfig('', overrides)); // what is wrong with a flag is no fault of the file
  const run = await readChatTemplate(parseRunConfig(text, overrides, path));
  const named = (await exists(run.model_name_or_path)) ? undefined : parseModelName(run.model_name_or_path);
  return named?.revision === undefined ? run : { ...run, model_name_or_path: named.repo, revision: named.revision };
}

/** The run with the text of the template file that it names: a run carries its template along. */
async function readChatTemplate(run: RunConfig): Promise<RunConfig> {
  const { chat_template_path: path, ...rest } = run;
  if (path === undefined) return run;
  if (run.chat_template !== undefined) {
    throw new GraftError('bad-config', 'The run has both chat_template and chat_template_path: leave one of them out.');
  }
  return {
    ...rest,
    chat_template_path: undefined,
    chat_template: await readInputText(path, 'chat template', MOST_OF_SETTINGS),
  };
}

/** The dataset of a run. @throws UsageError where it names none */
export async function runDataset(run: RunConfig): Promise<DatasetFile> {
  if (run.dataset === undefined) {
    throw new UsageError('The run has no dataset: write dataset: FILE into the run file, or add --data FILE.');
  }
  return datasetFile(run.dataset);
}

/** Whether two paths are the same place. */
export function samePath(a: string, b: string): boolean {
  return resolve(a) === resolve(b);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
