/** Fine-tuning from a run file: the trainer. It stops and goes on at any step as if it had never stopped. */
import type { RunConfig, RunConfigKey } from '../core/config';
import { errorCode } from '../core/errors';
import type { RunSummary } from '../core/events';
import { plural } from '../core/format';
import type { LinearSpec } from '../core/spec';
import type { FileSource, RunStore } from '../core/store';
import type { DecodeViewOptions, Engine, StepResult } from '../engine';
import type { HubModel } from '../formats/model';
import { readAdapter, type Adapter } from '../formats/peft';
import { withTemplateOf } from '../formats/saved-template';
import { planRun } from './plan';
import { idleRun } from './schedules';
import { Checkpoints, hasFrozenCopy } from './steps/checkpoint';
import { arrangeData, objectiveSources, readData, type DatasetFile, type PreparedData } from './steps/data';
import { sha256 } from '../core/hash';
import { loadSession, weightStorageKey, type ModelCache } from './steps/cached-weights';
import { withMicroBatchOf } from './steps/micro-batch';
import { keptIn16Bits, refuseContradictions, trainSetup } from './steps/options';
import { NOT_ASKED } from './steps/model-folder';
import {
  markUnfinished,
  readFinishedRun,
  writeOutputs,
  writeRunFile,
  writeTemplateFiles,
  writtenTemplate,
} from './steps/outputs';
import { tunesPrompt, virtualTokensOf } from './steps/prompt-tuning';
import { refuseTooLarge, Recovery } from './steps/recovery';
import { idleKeyNotices } from './steps/idle-keys';
import {
  adapterNotices,
  checkFinished,
  pinRevision,
  refuseIncomplete,
  resolveRun,
  withEvaluations,
} from './steps/resolve';
import { withRunTemplate } from './steps/run-template';
import { withTemplateDate } from './steps/template-date';
import { TextGenerator } from './steps/text-generator';
import { Trainer, type TrainReport } from './steps/trainer';

export interface FinetuneInput {
  readonly run: RunConfig;
  /** Which keys of the run somebody has set; absent, those that differ from their defaults. */
  readonly given?: ReadonlySet<RunConfigKey> | undefined;
  readonly model: HubModel;
  /** The folder that the model was opened from: full training copies its tokenizer beside the new weights. */
  readonly modelFiles: FileSource;
  readonly dataset: DatasetFile;
  /** Reads the dataset, where the caller has another way than anew; `model` is asked as the run asks it. */
  readonly readData?: typeof readData | undefined;
  /** Opens the GPU device, or gives the open one; asked again when that is lost. Whoever gives it closes it. */
  readonly openEngine: () => Promise<Engine>;
  readonly store: RunStore;
  readonly cache?: ModelCache | undefined;
  /** An adapter to go on from, instead of a fresh one. It brings its rank, alpha and target modules. */
  readonly adapter?: FileSource | undefined;
  /** Go on from the newest checkpoint in the store; without one, or when false, start anew. */
  readonly resume: boolean;
  /** Asked before every step, with the steps that are left: whether to report where its time goes. */
  readonly wantsProfile?: ((stepsLeft: number) => boolean) | undefined;
  /** Makes room for a chat with the run while it trains, unless there is none. It changes no bit of the run. */
  readonly talk?: TalkOptions | undefined;
  /** Milliseconds from any start, by which checkpoints are timed. */
  readonly clock?: (() => number) | undefined;
}

export interface TalkOptions extends DecodeViewOptions {
  /**
   * Gets what answers from the session that trains: the base model without the adapter, or what is trained as it stands.
   * The next step waits for answers under way. It is closed when training ends, and another one comes where the device
   * is opened again.
   */
  readonly onReady: (generator: TextGenerator) => void;
}

/**
 * Trains as the run file says and leaves the adapter (or the model) in the store. When `signal` is aborted, the step
 * under way ends, a checkpoint is written and the summary says `cancelled`; before the first step it throws `cancelled`.
 *
 * A device that is lost is opened again, and training goes on from the last checkpoint to the same bytes; where a
 * micro-batch doesn't fit, a smaller one is tried at the same effective batch. Both are said in a notice.
 * @throws `bad-config`, `bad-data`, `unsupported`; `out-of-memory` where not even one row fits; `diverged`, `storage`
 *   and `device-lost`, which is a second loss, with the last checkpoint left in place.
 */
export async function finetune(given: FinetuneInput, report: TrainReport, signal?: AbortSignal): Promise<RunSummary> {
  const input = { ...given, model: await openRunModel(given) };
  const { model, store } = input;
  refuseContradictions(input.run);
  const adapter = input.adapter && { name: input.adapter.name, content: await readAdapter(input.adapter) };
  const resolved = resolveRun(pinRevision(input.run, input.modelFiles), model, adapter);
  const dated = await withTemplateDate(resolved, model.template, input.resume ? store : undefined);
  const finished = input.resume ? await readFinishedRun(store) : undefined;
  if (finished) {
    await checkFinished(finished, dated, model, input.dataset);
    refuseIncomplete(finished, store.name);
    // It may have been cut off between its last file and tidying up.
    await Checkpoints.startAnew(store);
    report({ kind: 'notice', message: 'This run is finished already; there is nothing left to train.' });
    return finished.summary;
  }

  report({ kind: 'phase', phase: 'planning', detail: 'Reading the data' });
  const reading = (rows: number, totalRows: number) => report({ kind: 'reading', rows, totalRows });
  const read = await (input.readData ?? readData)(dated, model, input.dataset, reading, signal);
  const data = arrangeData(dated, model, read);
  const run = withEvaluations(dated, data);
  announce(input.run, run, model, data, report);
  // A fresh adapter is as it was asked for: `run` merely names its linears in full.
  const left = adapterNotices(input.run, adapter ? run : input.run, model.spec, input.given);
  [...left, ...idleKeyNotices(input.run, input.given)].forEach((message) => report({ kind: 'notice', message }));

  const recovery = new Recovery(input.openEngine, report);
  const attempt: Attempt = { run, resume: input.resume, data, adapter: adapter?.content, talk: input.talk };
  for (;;) {
    const engine = await recovery.open();
    try {
      return await trainOnDevice(input, attempt, engine, report, signal);
    } catch (error) {
      if (attempt.talk && errorCode(error) === 'out-of-memory') {
        attempt.talk = undefined;
        report({ kind: 'notice', message: NO_ROOM_TO_TALK });
      } else attempt.run = await recovery.after(error, attempt.run);
    }
  }
}

const NO_ROOM_TO_TALK =
  'The run does not fit the memory of the GPU with room for a chat beside it: it trains without, and can be talked to when it is done.';

/** The model as the run asks it: through the run's own chat template, else the one beside what it goes on from. */
async function openRunModel({ run, model, adapter, resume, store }: FinetuneInput): Promise<HubModel> {
  const folder = (resume ? await writtenTemplate(store) : undefined) ?? adapter;
  return withRunTemplate(run, folder ? await withTemplateOf(model, folder) : model);
}

/** What a run on one device begins with. */
interface Attempt {
  run: RunConfig;
  /** Whether the checkpoints in the store are this run's own. */
  resume: boolean;
  readonly data: PreparedData;
  readonly adapter: Adapter | undefined;
  talk: TalkOptions | undefined;
}

/** Plans, loads, and trains from where the run stands to its end. */
async function trainOnDevice(
  input: FinetuneInput,
  attempt: Attempt,
  engine: Engine,
  report: TrainReport,
  signal: AbortSignal | undefined,
): Promise<RunSummary> {
  const { model, modelFiles, store } = input;
  const { data, talk } = attempt;
  const found = attempt.resume ? await Checkpoints.find(store) : undefined;
  if (found?.newest) attempt.run = withMicroBatchOf(attempt.run, found.newest.run);
  const { run } = attempt;
  const fromAdapter = found?.newest ? hasFrozenCopy(found.newest.state) : attempt.adapter !== undefined;
  const decode = talk && talkView(talk, run, model);
  const plan = planRun(run, model, data, { fromAdapter, decode });
  report({
    kind: 'plan',
    totalBytes: plan.memory.totalBytes,
    bytes: { ...plan.memory.bytes },
    totalSteps: data.totalSteps,
    trainableParameters: plan.trainableParameters,
    totalParameters: plan.totalParameters,
    dispatches: { ...plan.dispatches },
  });
  refuseTooLarge(plan.memory.totalBytes, engine);

  report({ kind: 'phase', phase: 'loading', detail: `Loading ${model.name}` });
  const loading = (loadedBytes: number, totalBytes: number) => report({ kind: 'loading', loadedBytes, totalBytes });
  const { setup, train } = trainSetup(run, model, data.lengths, { ...objectiveSources(data), fromAdapter });
  const onNotKept = (message: string) => report({ kind: 'notice', message });
  const { session, digest } = await loadSession(
    { model, storage: weightStorageKey(setup), cache: input.cache && { ...input.cache, onNotKept } },
    (weights, keep) => engine.createSession(setup, { train, ...(decode && { decode }) }, weights, keep),
    loading,
    signal,
  );
  const { decode: view } = session.views;
  const speaker = decode && view && new TextGenerator(model, view, decode);
  const endTalk = async () => speaker?.close('The run that answered has ended: ask again.');
  const onAbort = () => void endTalk();
  signal?.addEventListener('abort', onAbort);
  try {
    const hashes = { datasetHash: await sha256(input.dataset.bytes), modelHash: digest };
    const slots = found?.slots ?? (await Checkpoints.startAnew(store));
    const resuming = attempt.resume;
    attempt.resume = true;
    const stepper = async (work: () => Promise<StepResult>, step: number) => {
      await speaker?.quiet();
      return input.wantsProfile?.(data.totalSteps - step) ? profiledStep(engine, work, step, report) : work();
    };
    const trainer = new Trainer(run, data, session, report, slots, hashes, stepper, input.clock);
    if (found && found.torn > 0) report({ kind: 'notice', message: 'A damaged checkpoint was left aside.' });
    if (found?.newest) await trainer.resume(found.newest);
    else await trainer.start(attempt.adapter, resuming);
    await markUnfinished(store);
    const asked = data.dataset.hasConversations ? model : NOT_ASKED;
    await writeTemplateFiles(store, modelFiles, asked);
    await writeRunFile(store, run);

    report({ kind: 'phase', phase: 'planning', detail: 'Building kernels' });
    await session.compile((kernels, totalKernels) => report({ kind: 'compiling', kernels, totalKernels }));
    report({ kind: 'phase', phase: 'training', detail: `Training ${plural(data.totalSteps, 'step')}` });
    if (speaker) talk?.onReady(speaker);
    const stopped = await trainer.train(signal);
    const summary = trainer.summary(stopped);
    if (stopped === 'cancelled') return summary;

    report({ kind: 'phase', phase: 'saving', detail: `Saving to ${store.name}` });
    await writeOutputs(store, {
      run,
      model,
      asked,
      modelFiles,
      datasetName: input.dataset.name,
      examples: data.train.length,
      tensors: await trainer.result(),
      trainerState: trainer.state(),
      summary,
      ...hashes,
      device: engine.info,
    });
    await slots.removeAll();
    report({ kind: 'phase', phase: 'done', detail: store.name });
    return summary;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await endTalk();
    session.dispose();
  }
}

/** A cache of at most what the model can read. */
function talkView({ batchSize, maxLength }: TalkOptions, run: RunConfig, { spec }: HubModel): DecodeViewOptions {
  return { batchSize, maxLength: Math.min(maxLength, spec.maxPositions - virtualTokensOf(run)) };
}

async function profiledStep(
  engine: Engine,
  work: () => Promise<StepResult>,
  step: number,
  report: TrainReport,
): Promise<StepResult> {
  const { value, profile } = await engine.profile(work);
  report({ kind: 'profile', step: step + 1, profile });
  return value;
}

function announce(asked: RunConfig, run: RunConfig, model: HubModel, data: PreparedData, report: TrainReport): void {
  const notice = (message: string) => report({ kind: 'notice', message });
  model.notices.forEach(notice);
  const idle = idleRun(run, data.totalSteps);
  if (idle !== undefined) notice(idle);
  const { eval_steps = 0 } = asked;
  if (data.eval.length > 0 && eval_steps > data.totalSteps) {
    notice(
      `eval_steps is ${eval_steps}, more than the ${plural(data.totalSteps, 'step')} of the run: it is evaluated once, at its end.`,
    );
  }
  if (run.max_length < asked.max_length) {
    notice(`max_length is ${run.max_length}, the most that the model can read, instead of ${asked.max_length}.`);
  }
  const kept = keptIn16Bits(run, model.spec);
  if (kept.length > 0) {
    const [{ name, outFeatures, inFeatures }] = kept as [LinearSpec];
    notice(
      `${kept.length} linears are not quantised and stay ${run.dtype}: shapes like ${name}'s [${outFeatures}, ${inFeatures}] don't make whole blocks of 64.`,
    );
  }
  const { truncated } = data.tokenized;
  if (truncated > 0)
    notice(
      `${truncated} of ${data.dataset.exampleCount} rows are longer than max_length ${run.max_length} and are cut.`,
    );
  data.notices.forEach(notice);
  if (run.method !== 'sft' && run.disable_dropout && run.lora_dropout > 0 && !tunesPrompt(run)) {
    notice(
      `method: ${run.method} trains without dropout, as TRL does, and lora_dropout ${run.lora_dropout} has no effect: set disable_dropout: false for it.`,
    );
  }
  if (run.packing) {
    const sequences = plural(data.trainRows, 'sequence');
    notice(`${plural(data.train.length, 'row')} are packed into ${sequences} of up to ${run.max_length} tokens.`);
  }
}
