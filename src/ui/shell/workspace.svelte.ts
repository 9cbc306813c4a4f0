/** Everything that the page holds, one class for each concern, and what happens between them. */
import { tick } from 'svelte';
import { plainError, type PlainError } from '../../core/errors';
import type { RunRecord } from '../../core/library';
import type { TrainRequest } from '../../protocol/runs';
import { droppedFolder, isModelDrop } from '../client/files';
import { Workers } from '../client/workers';
import { AskBothState } from '../features/chat/ask-both.svelte';
import { ChatState } from '../features/chat/chat.svelte';
import { SamplingState } from '../features/chat/sampling.svelte';
import { DeviceState } from '../features/device/device.svelte';
import { CompareState } from '../features/evaluation/compare.svelte';
import { HubState } from '../features/hub/hub.svelte';
import { EndNotice } from '../features/runs/end-notice.svelte';
import { LibraryState } from '../features/runs/library.svelte';
import { notePace } from '../features/runs/pace';
import { describeEnd } from '../features/runs/run-words';
import { RunState } from '../features/runs/run.svelte';
import { TrainingState } from '../features/runs/training.svelte';
import { UpdateState } from '../offline/updates.svelte';
import { placeOf, runPlace } from '../routes';
import { wait } from '../wait';
import { Draft } from './draft.svelte';
import { findRefused } from './obstacle';
import { reveal } from './reveal';
import { Router } from './router.svelte';
import { Steps } from './steps.svelte';

/** Milliseconds between two looks at a run that another tab trains. */
const OTHER_TABS_INTERVAL = 2000;

/** Whether a text can be rows of any kind: two lines at least, or JSON. */
function canBeRows(text: string): boolean {
  const shown = text.trim();
  return /[\n\r]/.test(shown) || /^[[{]/.test(shown);
}

/** Milliseconds of a visit after which the GPU is measured. */
const MEASURING_AFTER = 1500;

/** Milliseconds of a visit after which the GPU and the library are asked for, even where no model is open yet. */
const GPU_AFTER = 1000;

export class Workspace {
  readonly router = new Router();
  readonly workers = new Workers();
  readonly device = new DeviceState(this.workers);
  readonly hub = new HubState(this.workers);
  readonly library = new LibraryState(this.workers);
  /** The next run. */
  readonly draft = new Draft(this.workers, this.device, this.library);
  /** How it is laid out. */
  readonly steps = new Steps();
  /** The run that trains. */
  readonly training = new TrainingState(
    this.workers,
    (runId) => this.runBegan(runId),
    (runId, error) => this.runEnded(runId, error),
  );
  /** The run that is shown. */
  readonly run = new RunState(this.workers, this.training);
  readonly endNotice = new EndNotice();
  readonly updates = new UpdateState();
  readonly sampling = new SamplingState();
  readonly chat = new ChatState(this.workers, this.sampling);
  readonly askBoth = new AskBothState(this.workers);
  readonly compare = new CompareState(this.workers);

  error = $state.raw<PlainError>();

  /**
   * Brings back what was open before the reload. Each part comes by itself: what can't be brought back is said, and
   * leaves the rest as it is; what the visitor chooses meanwhile stays.
   */
  async restore(): Promise<void> {
    const failed = (error: unknown) => (this.error = plainError(error));
    const { draft } = this;
    draft.recipe.restore();
    const opened = [draft.model.restore(), draft.dataset.restore()].map((part) => part.catch(failed));
    const open = Promise.all(opened).then(() => (draft.ready = true));
    // Two large scripts at once take longer than one after the other, and here the GPU's is not what is waited for.
    if (this.router.route.page === 'workbench') await Promise.race([open, wait(GPU_AFTER)]);
    const rest = [this.device.detect(), this.library.refresh(), this.hub.restore(), this.device.readPersistence()];
    await Promise.all([open, ...rest.map((part) => part.catch(failed))]);
    // The first moments are the visitor's: a run that is started at once shows by itself how long it takes.
    setTimeout(() => {
      if (!this.training.running) void this.device.findRate();
    }, MEASURING_AFTER);
  }

  /** Shows the run of the present place, or none; a conversation belongs to what it was held with. */
  showRun(id: string | undefined): void {
    if (id === undefined) this.run.leave();
    else void this.run.show(id);
  }

  /**
   * Looks again, from time to time, at runs that another tab trains. A tab that has just died may still hold its run
   * for a moment, too.
   */
  followOtherTabs(): () => void {
    const timer = setInterval(() => {
      const { training, library, run } = this;
      if (training.running || !library.runs.some(({ state }) => state === 'running')) return;
      void library.refresh().then(() => this.readAgain(run.id));
    }, OTHER_TABS_INTERVAL);
    return () => clearInterval(timer);
  }

  /** Shows how far the shown run has come in another tab. */
  private async readAgain(id: string | undefined): Promise<void> {
    const { run, training, library } = this;
    const found = library.runs.find((record) => record.id === id);
    if (!found || training.running || JSON.stringify(found) === JSON.stringify(run.detail?.record)) return;
    if (run.isOwn && found.step > (training.last?.step ?? 0)) training.clear(); // another tab has gone on with it
    if (run.isOwn) training.record = found;
    await run.refresh();
  }

  get canStart(): boolean {
    const { draft } = this;
    return draft.request !== undefined && !this.training.running && !this.device.error && !draft.obstacle;
  }

  /** From a fresh visit to training in one call: the starter, the policy pairs, and the recipe for them. */
  async quickStart(): Promise<void> {
    const { draft } = this;
    const refused = draft.isQuickStart ? findRefused(draft.recipe) : undefined;
    if (refused) return reveal(refused.target);
    const { quickStart } = draft;
    if (quickStart && !this.device.error) await this.begin(quickStart, draft.isQuickStart); // the built-in data need no reading before
  }

  async start(): Promise<void> {
    const { request } = this.draft;
    if (request && this.canStart) await this.begin(request, true);
  }

  private async begin(request: TrainRequest, isDraft: boolean): Promise<void> {
    if (this.training.running) return;
    this.error = undefined;
    this.draft.unbegunError = undefined;
    this.draft.download.clear(); // the run goes on with it
    this.endAnswers();
    void this.device.askToPersist();
    const workload = isDraft ? this.draft.workload : undefined; // what is edited meanwhile is the next run
    await this.training.start(request);
    const { record } = this.training;
    if (workload && record?.state === 'finished' && record.summary) {
      notePace(workload.key, workload.flops, record.summary.seconds);
    }
  }

  async resume(runId: string): Promise<void> {
    this.router.goTo(runPlace(runId));
    await this.run.show(runId);
    const { detail } = this.run;
    if (detail?.record.id !== runId || this.training.running) return;
    this.endAnswers();
    await this.training.resume(detail, this.draft.model.refOf(detail.record.model), this.draft.budget.talks);
  }

  async renameRun(runId: string, name: string): Promise<void> {
    await this.library.rename(runId, name);
    if (this.run.id === runId) await this.run.refresh();
  }

  async deleteRun(runId: string): Promise<void> {
    await this.library.delete(runId);
    if (this.library.runs.some(({ id }) => id === runId)) return; // it is in use, which the library says
    if (this.training.record?.id === runId) this.training.clear();
    this.chat.forgetRun(runId);
    this.compare.forget(runId);
    const others = this.library.runs.map(({ id }) => id);
    await this.askBoth.forget(runId, others).catch((error: unknown) => (this.error = plainError(error)));
    const { route } = this.router;
    if (route.page === 'run' && route.id === runId) this.router.replace(placeOf('runs'));
  }

  /** Makes the settings of the shown run those of the next one. */
  useSettings(): void {
    const { detail } = this.run;
    if (!detail) return;
    this.draft.useRunFile(detail.runFile, `run.yaml of ${detail.record.name}`);
    this.router.goTo(placeOf('workbench'));
  }

  /** Takes what was dropped beside the places for it: a model, or data. */
  async takeDrop(transfer: DataTransfer): Promise<void> {
    const { draft, router } = this;
    const files = [...transfer.files];
    if (isModelDrop(transfer)) {
      router.goTo(placeOf('models'));
      const folder = await droppedFolder(transfer).catch((error: unknown) => {
        draft.model.error = plainError(error);
        return undefined;
      });
      if (folder) await draft.openFolder(folder);
    } else if (files.length > 0) {
      draft.useData(() => draft.dataset.useFiles(files));
      this.showData();
    }
  }

  /** Takes what was pasted on the workbench beside every field, where it can be rows: a file, or several lines. */
  takePaste(transfer: DataTransfer): void {
    const { draft, router } = this;
    const { dataset } = draft;
    if (router.route.page !== 'workbench' || !draft.ready) return;
    const text = transfer.getData('text/plain');
    // Beside a text, a picture is one of it: spreadsheets give both.
    const files = [...transfer.files].filter(({ type }) => text === '' || !type.startsWith('image/'));
    if (files.length === 0 && !canBeRows(text)) return;
    // What stands in the field and was not used yet is not lost to a paste beside it.
    if (files.length === 0 && dataset.hasUnusedText) return reveal('dataset-text');
    draft.useData(() => (files.length > 0 ? dataset.useFiles(files) : dataset.useText(text)));
    this.showData();
  }

  /** Leads to the data that were just chosen, which a narrow screen folds away. */
  private showData(): void {
    const { router } = this;
    if (router.route.page === 'workbench') void tick().then(() => reveal('data'));
    else router.goTo(placeOf('workbench'), 'data');
  }

  /** Searches the Hub; a model's whole name opens it. */
  async find(query: string): Promise<void> {
    const named = await this.hub.find(query);
    if (named) await this.draft.openHub(named);
  }

  /** The GPU is needed for a run. */
  private endAnswers(): void {
    this.chat.stop();
    this.askBoth.stop();
    this.compare.cancel();
  }

  private async runBegan(runId: string): Promise<void> {
    const { router, library, run } = this;
    if (router.route.page === 'workbench') router.goTo(runPlace(runId));
    await library.refresh();
    if (run.id === runId) await run.refresh();
  }

  /** What the library has of a run that is over. One that never began is in no library: its reason is said where it was started. */
  private async runEnded(runId: string | undefined, error: PlainError | undefined): Promise<RunRecord | undefined> {
    const { library, router, run, training } = this;
    await library.refresh();
    if (library.error) return training.record;
    const record = library.runs.find(({ id }) => id === runId);
    const { route } = router;
    if (record) this.endNotice.tell(record.name, describeEnd(record, training.last));
    if (!record) {
      this.draft.unbegunError = error;
      if (route.page === 'run' && route.id === runId) router.replace(placeOf('workbench'));
    } else if (run.id === runId) {
      await run.refresh();
    }
    return record;
  }
}
