/** GGUF files that the command line writes, and reading them back. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { formatBytes } from '../core/bytes';
import { GraftError } from '../core/errors';
import { formatShare } from '../core/format';
import type { Exported } from '../formats/export-card';
import type { FileSource } from '../core/store';
import {
  FILE_TYPES,
  LORA_TYPES,
  openGguf,
  readGgufHeader,
  readLora,
  storedTypes,
  type FileType,
  type LoraType,
} from '../formats/gguf';
import { openModel } from '../formats/model';
import {
  CARD,
  describeExport,
  describeWeights,
  exportGguf,
  exportLora,
  verifyExport,
  verifyLora,
  type Verification,
} from '../recipes';
import type { Arguments } from './arguments';
import type { ExportSources } from './export-sources';
import { FolderStore, openFolder } from './folders';
import { loadingBar } from './loading';
import type { Terminal } from './terminal';
import { UsageError } from './usage';

/** Writes a model as one GGUF file, reads it back, and says how near it is. @throws `bad-file` where it isn't the model */
export async function writeGguf(
  sources: ExportSources,
  type: FileType,
  output: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const store = new FolderStore(dirname(output));
  const file = basename(output);
  const { size, notices } = await exportGguf({ ...sources, store, file, type }, loadingBar(terminal), signal);
  notices.forEach((notice) => terminal.say(notice));
  terminal.say(`${output} is written (${formatBytes(size)}); reading it back …`);
  const found = await verifyGguf(sources, output, terminal, signal);
  const card = await writeCard(sources, { kind: 'gguf', file, type }, found, notices, output);
  terminal.emit({ kind: 'summary', output, card, bytes: size, type, notices, verification: found });
  refuseDifferent(output, found, terminal);
  terminal.say(`${output} is the model, as ${type}.`);
}

/** Writes an adapter as GGUF, and likewise. */
export async function writeLora(
  sources: ExportSources & { readonly adapter: FileSource },
  type: LoraType,
  output: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const store = new FolderStore(dirname(output));
  const file = basename(output);
  const size = await exportLora({ ...sources, store, file, type });
  terminal.say(`${output} is written (${formatBytes(size)}); reading it back …`);
  const found = await verifyGguf(sources, output, terminal, signal);
  const card = await writeCard(sources, { kind: 'gguf-lora', file, type }, found, [], output);
  terminal.emit({ kind: 'summary', output, card, bytes: size, type, verification: found });
  refuseDifferent(output, found, terminal);
  terminal.say(`${output} is the adapter: llama.cpp takes it with --lora, beside the base model as GGUF.`);
}

/** Writes the card of an export, of a single file beside it, and gives its path. */
export async function writeCard(
  sources: Omit<ExportSources, 'engine'>,
  exported: Exported,
  found: Verification,
  notices: readonly string[],
  output: string,
): Promise<string> {
  const isFile = 'file' in exported;
  const path = isFile ? cardOf(output) : join(output, CARD);
  const bytes = await describeExport({ ...sources, exported, found, notices });
  await new FolderStore(dirname(path)).write(basename(path), bytes);
  return path;
}

/** The card of a GGUF file: a folder may hold several. */
export function cardOf(file: string): string {
  return file.replace(/\.gguf$/i, '.md');
}

/** How a GGUF file differs from the model that it should hold. */
export async function verifyGguf(
  sources: Omit<ExportSources, 'modelFiles'>,
  path: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Verification> {
  const [folder, file] = [await openFolder(dirname(path)), basename(path)];
  const { metadata, tensors } = await readGgufHeader(folder, file);
  if (metadata.get('general.type') === 'adapter') {
    const { adapter, model } = sources;
    if (!adapter) throw new UsageError(`${path} is an adapter: name the one that it was made from with --adapter DIR.`);
    const exported = await readLora(folder, file, model.spec);
    return verifyLora({ ...sources, adapter }, exported, tensors[0]?.type.name ?? 'F32', loadingBar(terminal), signal);
  }
  const types = await storedTypes(folder, file);
  const exported = await openModel(await openGguf(folder, file));
  return verifyExport({ ...sources, exported, types }, loadingBar(terminal), signal);
}

/** Says what was found. @throws `bad-file` where the file differs */
export function refuseDifferent(path: string, found: Verification, terminal: Terminal): void {
  found.notices.forEach((notice) => terminal.say(notice));
  const { weights, answers } = found;
  if (weights) terminal.say(`weights: ${describeWeights(weights)}`);
  if (answers) {
    const { logitError, tolerance, divergence, agreement, sameAnswers, prompts } = answers;
    const [largest, mean] = [answers.largestDifference, answers.meanDifference].map((value) => value.toPrecision(2));
    terminal.say(
      `logits: ${formatShare(logitError)} off where ${formatShare(tolerance)} are allowed (by ${largest} at most, ${mean} in the mean), KL ${divergence.toPrecision(2)} nats a token, ${formatShare(agreement)} of tokens the same; ` +
        `${sameAnswers} of ${prompts} greedy answers the same`,
    );
  }
  if (found.findings.length === 0) return;
  found.findings.forEach((finding) => terminal.say(finding));
  throw new GraftError(
    'bad-file',
    `${path} is not the model: ${found.findings.length === 1 ? 'the difference is' : 'the differences are'} above. Don't use the file.`,
  );
}

/** What `--type` says of a merged file. */
export function fileType(args: Arguments): FileType {
  return oneOf(args.text('type') ?? 'F16', Object.keys(FILE_TYPES) as FileType[]);
}

export function loraType(args: Arguments): LoraType {
  return oneOf(args.text('type') ?? 'F32', LORA_TYPES);
}

function oneOf<T extends string>(given: string, known: readonly T[]): T {
  const found = known.find((name) => name === given.toUpperCase());
  if (found) return found;
  throw new UsageError(`--type must be one of ${known.join(', ')}, but is ${JSON.stringify(given)}.`);
}

/** @throws `bad-config` for a path that is taken */
export async function refuseTaken(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return;
  throw new GraftError('bad-config', `${path} is there already: name a new file with --output.`);
}
