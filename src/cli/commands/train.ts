import { existsSync } from 'node:fs';
import { formatBytes } from '../../core/bytes';
import { parseRunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import type { RunSummary, TrainEvent } from '../../core/events';
import { formatCount, plural } from '../../core/format';
import { CHECKPOINT_SLOTS, finetune, type Engine } from '../../recipes';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { FolderStore } from '../folders';
import { openNodeEngine } from '../gpu';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG } from '../loading';
import { withFolderLock } from '../lock';
import { CACHE_FLAGS, folderCache, openSource } from '../model-cache';
import { adapterSource, modelSource, runArgument, runDataset, samePath } from '../sources';
import { profileTable } from '../profile-table';
import { formatSeconds, type Terminal } from '../terminal';
import { UsageError } from '../usage';

/** Files that say that a folder holds a run, a model or an adapter. */
const RESULTS = ['graft.json', 'adapter_model.safetensors', 'model.safetensors', ...CHECKPOINT_SLOTS];

/** Counted from where this command starts training. */
const PROFILED_STEP = 3;

export const train: Command = {
  name: 'train',
  summary: 'train an adapter (or the model) as the run file says',
  usage:
    '[RUN.yaml] [--model MODEL] [--data FILE] [--output DIR] [--adapter DIR] [--resume | --overwrite] [--profile] [--KEY VALUE …]',
  syntax: {
    positionals: 1,
    runKeys: true,
    flags: {
      model: { ...MODEL_FLAG, default: "the run file's, else starter" },
      data: { value: 'FILE', help: 'a JSON or JSONL file, or a built-in name (title-fees)', default: "the run file's" },
      output: { value: 'DIR', help: 'the folder to write to', default: 'output' },
      adapter: { ...ADAPTER_FLAG, help: 'an adapter folder to go on from; it brings its rank and target modules' },
      resume: { help: 'go on from the last checkpoint in the output folder' },
      profile: { help: 'show where the time of the third step goes, kernel by kernel' },
      overwrite: { help: 'start anew in an output folder that holds a run' },
      ...CACHE_FLAGS,
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const resume = args.has('resume');
    const output = args.text('output') ?? args.overrides['output_dir'];
    const { run, given } = await runArgument(args, signal, resume ? resumedRunFile(output) : undefined);
    const store = new FolderStore(run.output_dir);
    await refuseOverwriting(store, args);
    const modelFiles = await modelSource(run.model_name_or_path, run.revision, (line) => terminal.say(line), signal);
    if (modelFiles.commit === undefined && samePath(modelFiles.name, store.name)) {
      throw new GraftError('bad-config', `${store.name} is the model's own folder: name another with --output.`);
    }
    const model = await openSource(modelFiles, (line) => terminal.say(line));
    const dataset = await runDataset(run, signal);
    const adapterPath = args.text('adapter');
    const say = (line: string) => terminal.say(line);
    const adapter = adapterPath === undefined ? undefined : await adapterSource(adapterPath, say, signal);
    const engines: Engine[] = [];
    const openEngine = async () => {
      const engine = await openNodeEngine((line) => terminal.say(line), engines.length > 0);
      engines.push(engine);
      return engine;
    };
    try {
      const wantsProfile = args.has('profile') ? onceWarm() : undefined;
      const cache = await folderCache(args, model, run.load_in_4bit, terminal);
      const input = { run, given, model, modelFiles, dataset, openEngine, store, cache, adapter, resume, wantsProfile };
      const training = async () => {
        await refuseOverwriting(store, args); // another run may have finished there while this one was got ready
        return finetune(input, (event) => show(event, terminal), signal);
      };
      const summary = await withFolderLock(store.name, training);
      terminal.emit({ kind: 'summary', ...summary, output_dir: store.name });
      terminal.say(closing(summary, store.name));
      if (summary.stopped === 'cancelled')
        throw new GraftError('cancelled', `Stopped. Go on with --resume --output ${store.name}.`);
    } finally {
      for (const engine of engines) engine.destroy();
    }
  },
};

/** True once: for the third step, when everything is compiled, or for the last where there are fewer. */
function onceWarm(): (stepsLeft: number) => boolean {
  let steps = 0;
  return (stepsLeft) => ++steps === PROFILED_STEP || (steps < PROFILED_STEP && stepsLeft === 1);
}

/** The run file that the run to resume has written; where no folder is named, that of the default one, if it has one. */
function resumedRunFile(output: string | undefined): string | undefined {
  const path = `${output ?? parseRunConfig('').output_dir}/run.yaml`;
  return output !== undefined || existsSync(path) ? path : undefined;
}

/** A folder that holds results is only written to when the user says how. */
async function refuseOverwriting(store: FolderStore, args: Arguments): Promise<void> {
  if (args.has('resume') && args.has('overwrite')) {
    throw new UsageError('--resume goes on with a run and --overwrite starts anew: give one of them.');
  }
  if (args.has('resume') || args.has('overwrite')) return;
  const files = await store.list();
  if (!RESULTS.some((file) => files.includes(file))) return;
  throw new GraftError(
    'bad-config',
    `${store.name} holds a run already: --resume goes on with it, --overwrite starts anew, --output DIR writes elsewhere.`,
  );
}

/** Events that only say how far something is: a bar has them, and the stream of JSON lines does not. */
const COUNTED: ReadonlySet<TrainEvent['kind']> = new Set(['reading', 'loading', 'compiling']);

function show(event: TrainEvent, terminal: Terminal): void {
  if (!COUNTED.has(event.kind)) terminal.emit(event);
  switch (event.kind) {
    case 'reading':
      return terminal.bar(event.rows / Math.max(1, event.totalRows), `${event.rows}/${event.totalRows} rows read`);
    case 'loading':
      return loadingBar(terminal)(event.loadedBytes, event.totalBytes);
    case 'compiling':
      return terminal.bar(
        event.kernels / Math.max(1, event.totalKernels),
        `${event.kernels}/${event.totalKernels} kernels built`,
      );
    case 'phase':
      if (event.phase !== 'done' && event.phase !== 'evaluating') terminal.log(event.detail);
      return;
    case 'plan': {
      const share = (100 * event.trainableParameters) / event.totalParameters;
      return terminal.say(
        `Memory: ${formatBytes(event.totalBytes)}; training ${formatCount(event.trainableParameters)} of ` +
          `${formatCount(event.totalParameters)} parameters (${share.toPrecision(3)} %) for ${plural(event.totalSteps, 'step')}`,
      );
    }
    case 'resumed':
      return event.step > 0 ? terminal.say(`Going on after step ${event.step}`) : undefined;
    case 'step': {
      const { step, loss = NaN, grad_norm = NaN, learning_rate = NaN } = event.row;
      const rate = `${formatCount(Math.round(event.tokensPerSecond))} tokens/s`;
      const left = `${formatSeconds(event.secondsLeft)} left`;
      terminal.log(
        `step ${step}/${event.totalSteps}  loss ${loss.toFixed(4)}  grad_norm ${grad_norm.toFixed(4)}  ` +
          `learning_rate ${learning_rate.toExponential(2)}  ${rate}  ${left}`,
      );
      const line = `${step}/${event.totalSteps}  loss ${loss.toFixed(4)}  ${rate}  ${left}`;
      return terminal.bar(step / event.totalSteps, line);
    }
    case 'eval':
      return terminal.say(`step ${event.row.step}  eval_loss ${event.row.eval_loss?.toFixed(4)}`);
    case 'profile':
      return terminal.print(profileTable(event.profile, event.step));
    case 'checkpoint':
      return terminal.log(`checkpoint after step ${event.step}`);
    case 'early-stop':
      return terminal.say(`Stopped early: no better evaluation since step ${event.bestStep}, whose adapter is kept`);
    case 'notice':
      return terminal.say(event.message);
  }
}

function closing(summary: RunSummary, output: string): string {
  const { steps, trainLoss, bestEvalLoss, seconds, stopped } = summary;
  const best = bestEvalLoss === null ? '' : `, best eval_loss ${bestEvalLoss.toFixed(4)}`;
  if (stopped === 'cancelled' && steps === 0)
    return `Stopped before the first step: ${output} holds the run's settings alone.`;
  const done = stopped === 'cancelled' ? 'a checkpoint is in' : 'the result is in';
  return `${plural(steps, 'step')} in ${formatSeconds(seconds)}, mean loss ${trainLoss.toFixed(4)}${best}; ${done} ${output}`;
}
