/** Folders in 4 bits, by GPTQ or AWQ, that the command line writes and reads back. */
import { basename } from 'node:path';
import { plural } from '../core/format';
import type { Int4Method } from '../formats/int4/layouts';
import { exportInt4, readCalibration, withTemplateOfRun } from '../recipes';
import type { Arguments, Flag } from './arguments';
import { openExportSources } from './export-sources';
import { FolderStore, refuseFilled } from './folders';
import { openNodeEngine } from './gpu';
import { finishFolder } from './merged-folder';
import { datasetFile } from './sources';
import type { Terminal } from './terminal';
import { UsageError } from './usage';

export const INT4_FLAGS: Readonly<Record<string, Flag>> = {
  data: {
    value: 'FILE',
    help: 'gptq, awq: the rows to calibrate with, as train reads them; the first 65,536 tokens count',
  },
  'group-size': {
    value: 'N',
    help: 'gptq, awq: columns that share a scale; gptq: -1 for all of a row',
    default: '128',
  },
  sym: { value: 'true|false', help: 'gptq: zero in the middle of the codes, as most kernels want it', default: 'true' },
  'desc-act': { help: 'gptq: columns by the size of their inputs, largest first' },
};

/** @throws UsageError where flags are given that the format has no use for */
export function refuseInt4Flags(args: Arguments, format: string): void {
  const isInt4 = format === 'gptq' || format === 'awq';
  const given = Object.keys(INT4_FLAGS).filter((flag) => args.has(flag));
  const odd = given.find((flag) => !isInt4 || (format === 'awq' && (flag === 'sym' || flag === 'desc-act')));
  if (odd === undefined) return;
  const formats = odd === 'sym' || odd === 'desc-act' ? 'gptq' : 'gptq or awq';
  throw new UsageError(`--${odd} goes with --format ${formats}.`);
}

/** Quantises a model on rows of data, reads it back and says how near it is. @throws `bad-file` where it isn't the model */
export async function exportInt4Folder(
  method: Int4Method,
  output: string,
  args: Arguments,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const data = args.required('data', 'name the rows to calibrate with, as train reads them');
  const options = { method, ...groupSize(args, method), symmetric: isSymmetric(args), actOrder: args.has('desc-act') };
  const say = (line: string) => terminal.say(line);
  await refuseFilled(output);
  const opened = await openExportSources(args, say, signal);
  const { model, adapter } = opened;
  const asked = adapter ? await withTemplateOfRun(model, adapter) : model;
  const { calibration, notices: ofData } = await readCalibration(asked, await datasetFile(data, signal), signal);
  ofData.forEach(say);
  const { sequences, length, rows } = calibration;
  const calibratedOn = `${plural(rows, 'row')} of ${basename(data)}, as ${plural(sequences.length, 'sequence')} of ${plural(length, 'token')}`;
  say(`Calibrating with ${calibratedOn}.`);
  const engine = await openNodeEngine(say);
  try {
    const sources = { ...opened, engine };
    const progress = (layer: number, layers: number) =>
      layer === layers ? terminal.hideBar() : terminal.bar(layer / layers, `layer ${layer + 1} of ${layers}`);
    const input = { ...sources, ...options, store: new FolderStore(output), calibration };
    const { files, settings, notices } = await exportInt4(input, progress, signal);
    notices.forEach(say);
    say(`${output} holds ${files.join(', ')}; reading it back …`);
    const size = settings.groupSize === -1 ? 'one group a row' : `groups of ${settings.groupSize}`;
    const type = `${method.toUpperCase()}, 4 bits in ${size}`;
    const card = { kind: 'int4', folder: basename(output), method, type, calibratedOn } as const;
    await finishFolder(sources, card, { files, type, notices }, output, terminal, signal);
    say(`${output} is the model, as ${type}.`);
  } finally {
    engine.destroy();
  }
}

function groupSize(args: Arguments, method: Int4Method): { groupSize?: number } {
  const size = args.number('group-size', { least: -1, whole: true });
  if (size === undefined) return {};
  if (size === 0 || (size === -1 && method === 'awq')) {
    throw new UsageError(
      `--group-size must be above 0${method === 'gptq' ? ', or -1 for one group a row' : ' for awq'}.`,
    );
  }
  return { groupSize: size };
}

function isSymmetric(args: Arguments): boolean {
  const given = args.text('sym') ?? 'true';
  if (given === 'true' || given === 'false') return given === 'true';
  throw new UsageError(`--sym must be true or false, but is ${JSON.stringify(given)}.`);
}
