/** A training run and its place in the library: what is written down, and when, so that a reload finds it again. */
import { formatRunConfig, type RunConfig } from '../../src/core/config';
import { errorCode, plainError } from '../../src/core/errors';
import type { LogRow, RunSummary, TrainEvent } from '../../src/core/events';
import type { RunRecord, RunState } from '../../src/core/library';
import { encodeUtf8, type FileSource } from '../../src/core/store';
import type { HubModel } from '../../src/formats/model';
import {
  finetune,
  talkSize,
  type DatasetFile,
  type Engine,
  type FinetuneInput,
  type ModelCache,
  type TextGenerator,
} from '../../src/recipes';
import type { RunLibrary } from '../../src/storage/indexeddb';
import type { Voice } from '../../src/protocol/chat';
import type { TrainRequest } from '../../src/protocol/runs';
import { Diary } from './diary';
import { DATASET_FILE, readRunConfig, readRunDataset, RUN_FILE } from './run-files';
import { nameRun } from './run-name';
import { storedModel } from '../models/sources';

/** What training says; the first event names the run in the library. */
export type TrainingEvent =
  | { readonly kind: 'run'; readonly record: RunRecord }
  | { readonly kind: 'talk'; readonly voices: readonly Voice[] }
  | TrainEvent;

const BUSY = 'This run is training in another tab: one writer at a time.';

export interface TrainInput {
  readonly openEngine: () => Promise<Engine>;
  readonly model: HubModel;
  readonly modelFiles: FileSource;
  readonly cache: ModelCache | undefined;
  readonly readData?: FinetuneInput['readData'];
}

/** A run that goes on. */
export interface ResumedRun {
  readonly record: RunRecord;
}

/** What is trained, once it is all in the run's folder. */
interface PreparedRun extends Pick<FinetuneInput, 'run' | 'dataset' | 'resume'> {
  /** Whether there is to be room for a chat with it. */
  readonly talk: boolean;
}

export class Training {
  private profileAsked = false;
  private speaker: { readonly runId: string; readonly generator: TextGenerator } | undefined;

  constructor(private readonly library: RunLibrary) {}

  /** For the run under way; one that starts later knows nothing of it. */
  profileNextStep(): void {
    this.profileAsked = true;
  }

  /** What answers from the session of the run that trains, where that is this one and it has begun. */
  speakerOf(runId: string | null): TextGenerator | undefined {
    return this.speaker?.runId === runId ? this.speaker?.generator : undefined;
  }

  async start(
    request: TrainRequest,
    dataset: DatasetFile,
    open: () => Promise<TrainInput>,
    onEvent: (event: TrainingEvent) => void,
    signal: AbortSignal,
  ): Promise<RunSummary> {
    const record = newRecord(request, dataset, await this.library.list());
    return this.library.withWriter(record.id, BUSY, async () => {
      let begun = false;
      const follow = (event: TrainingEvent) => {
        begun ||= event.kind === 'plan';
        onEvent(event);
      };
      try {
        await this.library.put(record);
        const prepare = async () => {
          const folder = this.library.folder(record.id, record.name);
          await folder.write(DATASET_FILE, dataset.bytes);
          await folder.write(RUN_FILE, encodeUtf8(formatRunConfig(request.config)));
          return { run: request.config, dataset, resume: false, talk: request.talk };
        };
        return await this.train(record, [], prepare, open, follow, signal);
      } catch (error) {
        // There is nothing to go on from: data that can't be used, a model that didn't open, a disk without room.
        if (!begun) await this.library.discard(record.id).catch(() => undefined);
        throw error;
      }
    });
  }

  async resume(
    { runId: id, talk }: { readonly runId: string; readonly talk: boolean },
    open: (run: ResumedRun) => Promise<TrainInput>,
    onEvent: (event: TrainingEvent) => void,
    signal: AbortSignal,
  ): Promise<RunSummary> {
    return this.library.withWriter(id, BUSY, async () => {
      const log = await this.library.log(id);
      const record = await this.library.update(id, { state: 'running', error: null });
      const prepare = async () => ({
        run: await readRunConfig(this.library, record),
        dataset: await readRunDataset(this.library, record),
        resume: true,
        talk,
      });
      return this.train(record, log, prepare, () => open({ record }), onEvent, signal);
    });
  }

  /** Trains a run whose record says `running`: whatever fails from here on, `prepare` too, is written into that. */
  private async train(
    record: RunRecord,
    log: readonly LogRow[],
    prepare: () => Promise<PreparedRun>,
    open: () => Promise<TrainInput>,
    onEvent: (event: TrainingEvent) => void,
    signal: AbortSignal,
  ): Promise<RunSummary> {
    const diary = new Diary(this.library, record, log);
    const report = (event: TrainEvent) => {
      diary.note(event);
      onEvent(event);
    };
    const store = this.library.folder(record.id, record.name);
    const wantsProfile = () => {
      const asked = this.profileAsked;
      this.profileAsked = false;
      return asked;
    };
    this.profileAsked = false;
    try {
      const { talk: wantsTalk, ...prepared } = await prepare();
      onEvent({ kind: 'run', record });
      const opened = await open();
      const talk = wantsTalk ? this.talkOptions(record.id, prepared.run, opened.model, onEvent) : undefined;
      const summary = await finetune({ ...prepared, store, wantsProfile, talk, ...opened }, report, signal);
      await diary.close({
        state: summary.stopped === 'cancelled' ? 'cancelled' : 'finished',
        summary,
        step: summary.steps,
      });
      return summary;
    } catch (error) {
      // The record is the lesser matter here: where it can't be written either, the first failure is the one to tell.
      await diary.close({ state: stateAfter(error), error: plainError(error) }).catch(() => undefined);
      throw error;
    } finally {
      this.speaker = undefined;
    }
  }

  private talkOptions(
    runId: string,
    run: RunConfig,
    { spec }: HubModel,
    onEvent: (event: TrainingEvent) => void,
  ): FinetuneInput['talk'] {
    const onReady = (generator: TextGenerator) => {
      this.speaker = { runId, generator };
      // Where every parameter is trained, nothing is left of the base model to ask.
      onEvent({ kind: 'talk', voices: run.use_peft ? ['base', 'tuned'] : ['tuned'] });
    };
    return { ...talkSize(run, spec), onReady };
  }
}

function newRecord(request: TrainRequest, dataset: DatasetFile, others: readonly RunRecord[]): RunRecord {
  return {
    id: crypto.randomUUID(),
    name: nameRun(request, others),
    createdAt: Date.now(),
    state: 'running',
    model: storedModel(request.model),
    datasetName: dataset.name,
    step: 0,
    totalSteps: 0,
    checkpointStep: 0,
    summary: null,
    error: null,
  };
}

/** A run whose device was lost is whole up to its last checkpoint, like one whose tab was closed. */
function stateAfter(error: unknown): RunState {
  const code = errorCode(error);
  return code === 'cancelled' ? 'cancelled' : code === 'device-lost' ? 'interrupted' : 'failed';
}
