import { formatBytes, parseBytes } from '../../core/bytes';
import { formatValue, type RunConfig } from '../../core/config';
import { formatCount, plural } from '../../core/format';
import {
  countDecodeDispatches,
  fitToBudget,
  idleKeyNotices,
  openShape,
  adapterNotices,
  planRun,
  prepareData,
  resolveRun,
  withRunTemplate,
  type Choice,
  type RunPlan,
  type ShapedModel,
} from '../../recipes';
import type { FileSource } from '../../core/store';
import { readAdapter } from '../../formats/peft';
import { withTemplateOf } from '../../formats/saved-template';
import type { Command } from '../command';
import { ADAPTER_FLAG, MODEL_FLAG } from '../loading';
import { openSource } from '../model-cache';
import { adapterFolder, datasetFile, modelSource, runArgument } from '../sources';
import type { Terminal } from '../terminal';
import { asUsage } from '../usage';

/** A model folder is whole where one of these is there; a config alone is enough to plan. */
const WEIGHT_FILES = ['model.safetensors', 'model.safetensors.index.json'];

export const plan: Command = {
  name: 'plan',
  summary: 'GPU memory of a run by kind, without a GPU',
  usage: '[RUN.yaml] [--model MODEL] [--data FILE] [--adapter DIR] [--budget SIZE] [--KEY VALUE …]',
  syntax: {
    positionals: 1,
    runKeys: true,
    flags: {
      model: {
        ...MODEL_FLAG,
        help: 'a model folder (its config.json is enough), org/name[@revision] on the Hub, or starter',
        default: "the run file's, else starter",
      },
      data: {
        value: 'FILE',
        help: 'a dataset; without one every row has max_length tokens',
        default: "the run file's",
      },
      adapter: { ...ADAPTER_FLAG, help: 'an adapter folder that the run goes on from, as graft train --adapter' },
      budget: {
        value: 'SIZE',
        help: 'change the settings so that the run fits, and say why: 8GiB or 8G (2^30 bytes each), 8GB (10^9 bytes)',
        default: 'none',
      },
      decode: {
        value: 'N',
        help: 'count the dispatches of one token on a cache of N tokens, too',
        default: 'not counted',
      },
    },
  },
  async run(args, terminal, signal) {
    const budget = args.text('budget');
    const cache = args.number('decode', { least: 2, most: 1_048_576, whole: true });
    const budgetBytes = budget === undefined ? undefined : asUsage(() => parseBytes(budget));
    const { run, given } = await runArgument(args, signal);
    if (args.positionals.length === 0 && !args.has('model') && args.overrides['model_name_or_path'] === undefined) {
      terminal.say('Neither a run file nor --model is given: this plans a run of the built-in starter.');
    }
    const source = await modelSource(run.model_name_or_path, run.revision, (line) => terminal.say(line), signal);
    const adapter = await adapterFolder(args, (line) => terminal.say(line), signal);
    const { shape, data } = await prepare(source, run, adapter, terminal, signal);
    // The adapter brings its own rank and modules.
    const resolved = adapter
      ? resolveRun(run, shape, { name: adapter.name, content: await readAdapter(adapter) })
      : run;
    const notices = [...adapterNotices(run, resolved, shape.spec, given), ...idleKeyNotices(run, given)];
    notices.forEach((notice) => terminal.say(notice));
    const options = { fromAdapter: adapter !== undefined };
    const chosen = budgetBytes === undefined ? undefined : fitToBudget(resolved, shape, budgetBytes, data, options);
    const planned = chosen?.plan ?? planRun(resolved, shape, data, options);
    const { per_device_train_batch_size, gradient_accumulation_steps, gradient_checkpointing } = chosen?.run ?? run;
    const longest = planned.lengths.at(-1)!;
    if (data === undefined && longest < run.max_length) {
      terminal.say(`max_length is ${longest}, the most that the model can read, instead of ${run.max_length}.`);
    }
    const decode = cache === undefined ? undefined : countDecodeDispatches(chosen?.run ?? resolved, shape, cache);
    terminal.emit({
      total_bytes: planned.memory.totalBytes,
      bytes: planned.memory.bytes,
      dispatches: { ...planned.dispatches, ...(decode && { decode }) },
      trainable_parameters: planned.trainableParameters,
      total_parameters: planned.totalParameters,
      per_device_train_batch_size,
      gradient_accumulation_steps,
      gradient_checkpointing,
      max_length: longest,
      ...(chosen && { choices: chosen.choices }),
    });
    printPlan(planned, terminal);
    if (decode) {
      terminal.print(
        `decoding a token on a cache of ${plural(cache!, 'token')}: ${formatCount(decode.base)} dispatches, ` +
          `${formatCount(decode.tuned)} with the adapter\n`,
      );
    }
    if (chosen && budgetBytes !== undefined) printChoices(chosen.choices, budgetBytes, terminal);
  },
};

/** The model's shape, and the data where the run has some. Tokenising needs the whole model folder. */
async function prepare(
  source: FileSource,
  run: RunConfig,
  adapter: FileSource | undefined,
  terminal: Terminal,
  signal: AbortSignal,
) {
  const sizes = await Promise.all(WEIGHT_FILES.map((file) => source.size(file)));
  const whole = sizes.some((size) => size !== undefined);
  if (!whole) {
    if (run.dataset !== undefined) {
      terminal.say(`${source.name} has no weights, so the data aren't read: every row counts as max_length tokens.`);
    }
    return { shape: await openShape(source), data: undefined };
  }
  const opened = await openSource(source, (line) => terminal.say(line));
  const model = adapter ? await withTemplateOf(opened, adapter) : opened;
  const shape: ShapedModel = model;
  if (run.dataset === undefined) return { shape, data: undefined };
  const progress = (rows: number, total: number) => terminal.bar(rows / total, `${rows}/${total} rows read`);
  const data = await prepareData(
    run,
    withRunTemplate(run, model),
    await datasetFile(run.dataset, signal),
    progress,
    signal,
  );
  data.notices.forEach((notice) => terminal.say(notice));
  return { shape, data };
}

/** What to write into the run file, each line with its reason. */
function printChoices(choices: readonly Choice[], budgetBytes: number, terminal: Terminal): void {
  const budget = formatBytes(budgetBytes);
  if (choices.length === 0) {
    terminal.print(`\nfits ${budget} as it is\n`);
    return;
  }
  terminal.print(`\nfits ${budget} with these lines in the run file:\n`);
  for (const { key, value, why } of choices) terminal.print(`# ${why}\n${key}: ${formatValue(value)}\n`);
}

function printPlan(planned: RunPlan, terminal: Terminal): void {
  const kinds: Record<string, number> = { ...planned.memory.bytes, total: planned.memory.totalBytes };
  for (const [kind, bytes] of Object.entries(kinds)) {
    terminal.print(`${kind.padEnd(12)} ${formatCount(bytes).padStart(18)}  ${formatBytes(bytes).padStart(11)}\n`);
  }
  const { trainableParameters, totalParameters, lengths, totalSteps } = planned;
  const steps = totalSteps === undefined ? '' : `, ${plural(totalSteps, 'step')}`;
  terminal.print(
    `\ntrains ${formatCount(trainableParameters)} of ${formatCount(totalParameters)} parameters on rows of up to ` +
      `${plural(lengths.at(-1)!, 'token')}${steps}\n`,
  );
  const { train, update, evaluate } = planned.dispatches;
  terminal.print(
    `dispatches: ${formatCount(train)} a micro-batch, ${formatCount(update)} an update, ` +
      `${formatCount(evaluate)} to evaluate a batch\n`,
  );
}
