/** Fine-tuning from a run file: the trainer. It stops and goes on at any step as if it had never stopped. */
import type { RunConfig } from '../core/config';
import type { RunSummary } from '../core/events';
import { plural } from '../core/format';
import type { FileSource, RunStore } from '../core/store';
import type { Engine } from '../engine';
import type { HubModel } from '../formats/model';
import { readAdapter } from '../formats/peft';
import { planRun } from './plan';
import { Checkpoints } from './steps/checkpoint';
import { prepareData, type DatasetFile, type PreparedData } from './steps/data';
import { sha256 } from './steps/hash';
import { watchWeights } from './steps/loading';
import { refuseUnsupported, trainOptions } from './steps/options';
import { markUnfinished, readFinished, writeOutputs, writeRunFile } from './steps/outputs';
import { resolveRun } from './steps/resolve';
import { Trainer, type TrainReport } from './steps/trainer';

export interface FinetuneInput {
  readonly run: RunConfig;
  readonly model: HubModel;
  /** The folder that the model was opened from: full training copies its tokenizer beside the new weights. */
  readonly modelFiles: FileSource;
  readonly dataset: DatasetFile;
  readonly engine: Engine;
  readonly store: RunStore;
  /** An adapter to go on from, instead of a fresh one. It brings its rank, alpha and target modules. */
  readonly adapter?: FileSource | undefined;
  /** Go on from the newest checkpoint in the store; without one, or when false, start anew. */
  readonly resume: boolean;
}

/**
 * Trains as the run file says and leaves the adapter (or the model) in the store. When `signal` is aborted, the step
 * under way ends, a checkpoint is written and the summary says `cancelled`; before the first step it throws `cancelled`.
 * @throws `bad-config`, `bad-data`, `unsupported`, `out-of-memory`; `diverged`, `device-lost` and `storage` with the
 *   last checkpoint left in place.
 */
export async function finetune(input: FinetuneInput, report: TrainReport, signal?: AbortSignal): Promise<RunSummary> {
  const { engine, model, store } = input;
  const finished = input.resume ? await readFinished(store) : undefined;
  if (finished) {
    // It may have been cut off between its last file and tidying up.
    await Checkpoints.startAnew(store);
    report({ kind: 'notice', message: 'This run is finished already; there is nothing left to train.' });
    return finished;
  }

  report({ kind: 'phase', phase: 'planning', detail: 'Reading the data' });
  refuseUnsupported(input.run);
  const adapter = input.adapter && { name: input.adapter.name, content: await readAdapter(input.adapter) };
  const run = resolveRun(input.run, model, adapter);
  const data = prepareData(run, model, input.dataset);
  announce(input.run, run, data, report);
  const plan = planRun(run, model, data);
  report({
    kind: 'plan',
    totalBytes: plan.memory.totalBytes,
    bytes: { ...plan.memory.bytes },
    totalSteps: data.totalSteps,
    trainableParameters: plan.trainableParameters,
    totalParameters: plan.totalParameters,
  });

  report({ kind: 'phase', phase: 'loading', detail: `Loading ${model.name}` });
  const loading = (loadedBytes: number, totalBytes: number) => report({ kind: 'loading', loadedBytes, totalBytes });
  const weights = watchWeights(model, loading, signal);
  const session = await engine.createTrainSession(trainOptions(run, model, data.lengths), weights.stream);
  try {
    const hashes = { datasetHash: await sha256(input.dataset.bytes), modelHash: await weights.digest() };
    const found = input.resume ? await Checkpoints.find(store) : { slots: await Checkpoints.startAnew(store), torn: 0 };
    const trainer = new Trainer(run, data, session, report, found.slots, hashes);
    if (found.torn > 0) report({ kind: 'notice', message: 'A damaged checkpoint was left aside.' });
    if (found.newest) await trainer.resume(found.newest);
    else await trainer.start(adapter?.content, input.resume);
    await markUnfinished(store);
    await writeRunFile(store, run);

    report({ kind: 'phase', phase: 'training', detail: `Training ${data.totalSteps} steps` });
    const stopped = await trainer.train(signal);
    const summary = trainer.summary(stopped);
    if (stopped === 'cancelled') return summary;

    report({ kind: 'phase', phase: 'saving', detail: `Saving to ${store.name}` });
    await writeOutputs(store, {
      run,
      model,
      modelFiles: input.modelFiles,
      datasetName: input.dataset.name,
      examples: data.train.length,
      tensors: await trainer.result(),
      trainerState: trainer.state(),
      summary,
      ...hashes,
      device: engine.info,
    });
    await found.slots.removeAll();
    report({ kind: 'phase', phase: 'done', detail: store.name });
    return summary;
  } finally {
    session.dispose();
  }
}

function announce(asked: RunConfig, run: RunConfig, data: PreparedData, report: TrainReport): void {
  const notice = (message: string) => report({ kind: 'notice', message });
  if (run.max_length < asked.max_length) {
    notice(`max_length is ${run.max_length}, the most that the model can read, instead of ${asked.max_length}.`);
  }
  const { truncated, skipped } = data.tokenized;
  if (truncated > 0)
    notice(
      `${truncated} of ${data.dataset.examples.length} rows are longer than max_length ${run.max_length} and are cut.`,
    );
  if (skipped > 0) notice(`${skipped} of them are left out: nothing to train on is left after the cut.`);
  if (run.packing) {
    const sequences = plural(data.trainRows, 'sequence');
    notice(`${plural(data.train.length, 'row')} are packed into ${sequences} of up to ${run.max_length} tokens.`);
  }
}
