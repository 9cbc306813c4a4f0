/** Everything that the page holds, one class for each concern, and what happens between them. */
import { formatRunConfig, parseRunConfig, type RunConfig } from '../../core/config';
import { plainError, type PlainError } from '../../core/errors';
import type { HubRef } from '../../protocol/hub';
import type { KeptWeights } from '../../protocol/models';
import type { TrainRequest } from '../../protocol/runs';
import type { ChosenFolder } from '../client/files';
import { Workers } from '../client/workers';
import { BudgetState } from '../features/plan/budget.svelte';
import { ChatState } from '../features/chat/chat.svelte';
import { CompareState } from '../features/evaluation/compare.svelte';
import { DatasetState } from '../features/data/dataset.svelte';
import { DownloadState } from '../features/models/download.svelte';
import { DeviceState } from '../features/device/device.svelte';
import { HubState } from '../features/hub/hub.svelte';
import { LibraryState } from '../features/runs/library.svelte';
import { ModelState, STARTER } from '../features/models/model.svelte';
import { PreviewState } from '../features/data/preview.svelte';
import { DEFAULTS, HUB_DEFAULTS, RecipeState } from '../features/runs/recipe.svelte';
import { findObstacle, findRefused, type Obstacle } from './obstacle';
import { reveal } from './reveal';
import { SamplingState } from '../features/chat/sampling.svelte';
import { TrainingState } from '../features/runs/training.svelte';

/** Milliseconds between two looks at a run that another tab trains. */
const OTHER_TABS_INTERVAL = 2000;

export class Workspace {
  readonly workers = new Workers();
  readonly device = new DeviceState(this.workers);
  readonly model = new ModelState(this.workers);
  readonly hub = new HubState(this.workers);
  readonly dataset = new DatasetState(this.workers);
  readonly recipe = new RecipeState();
  readonly preview = new PreviewState(this.workers);
  readonly budget = new BudgetState(this.workers, this.recipe);
  readonly library = new LibraryState(this.workers);
  readonly download = new DownloadState(this.workers, () => this.library.refresh());
  readonly training = new TrainingState(this.workers, (runId) => this.runChanged(runId));
  readonly sampling = new SamplingState();
  readonly chat = new ChatState(this.workers, this.sampling);
  readonly compare = new CompareState(this.workers);

  /** Set once everything of the last visit is back. */
  ready = $state(false);
  /** Whether the visitor sees the large quick-start button. */
  quickStartInView = $state(false);
  error = $state.raw<PlainError>();
  /** What of the run file that was taken last is not used, in a sentence. */
  runFileNote = $state<string>();

  /**
   * Brings back what was open before the reload. Each part comes by itself: what can't be brought back is said, and
   * leaves the rest as it is; what the visitor chooses meanwhile stays.
   */
  async restore(): Promise<void> {
    const failed = (error: unknown) => (this.error = plainError(error));
    this.recipe.restore();
    const detected = this.device.detect();
    await this.device.readPersistence().catch(failed);
    await this.dataset.restore().catch(failed);
    await Promise.all([
      this.model.restore().catch(failed),
      this.library.restore().catch(failed),
      this.hub.restore().catch(failed),
    ]);
    if (this.library.opened && !this.training.record) this.training.show(this.library.opened);
    this.ready = true;
    await detected;
  }

  /**
   * Looks again, from time to time, at runs that another tab trains. A tab that has just died may still hold its run
   * for a moment, too.
   */
  followOtherTabs(): () => void {
    const timer = setInterval(() => {
      if (this.training.running || !this.library.runs.some(({ state }) => state === 'running')) return;
      void this.library.refresh().then(() => this.showProgress());
    }, OTHER_TABS_INTERVAL);
    return () => clearInterval(timer);
  }

  /** Shows how far the run on the chart has come in another tab; a conversation on this page is left alone. */
  private async showProgress(): Promise<void> {
    const { record } = this.training;
    const found = this.library.runs.find(({ id }) => id === record?.id);
    if (!found || this.training.running || JSON.stringify(found) === JSON.stringify(record)) return;
    await this.library.open(found.id);
    const { opened } = this.library;
    if (opened?.record.id === found.id && this.training.record?.id === found.id) this.training.show(opened);
  }

  /** What the next run would be made of; undefined until a model is open. */
  get request(): TrainRequest | undefined {
    const model = this.model.report;
    if (!model || !this.ready) return undefined;
    const names = { model_name_or_path: model.name, dataset: this.dataset.ref.name };
    const revision = this.model.onHub?.commit ?? this.recipe.config.revision; // a branch moves on, a commit doesn't
    const config = { ...this.recipe.config, ...names, revision };
    return { model: model.ref, dataset: this.dataset.ref, config, talk: this.budget.talks };
  }

  /** The next run as a file: with the model and the data that are open. */
  get runFile(): string {
    return formatRunConfig(this.request?.config ?? this.recipe.config);
  }

  /**
   * Takes the settings of a run file; returns false where it is refused, and `recipe.fileError` says why. Model and
   * data are what is open on the page, which is said where the file names others.
   */
  useRunFile(yaml: string, name = 'run.yaml'): boolean {
    this.runFileNote = undefined;
    if (!this.recipe.load(yaml, name)) return false;
    const named = this.recipe.config;
    const defaults = parseRunConfig('');
    const { config } = this.request ?? {};
    const differs = (key: 'model_name_or_path' | 'dataset') =>
      config !== undefined && named[key] !== defaults[key] && named[key] !== config[key];
    const others = (['model_name_or_path', 'dataset'] as const).filter(differs);
    if (others.length > 0 && config) {
      const listed = others.map((key) => `${key} ${named[key]}`).join(' and ');
      this.runFileNote = `${name} names ${listed}; the next run has what is open here: ${config.model_name_or_path} on ${config.dataset}.`;
    }
    return true;
  }

  get canTrain(): boolean {
    return this.request !== undefined && !this.training.running && !this.device.error && !this.obstacle;
  }

  /** Why no run can be started yet, as far as model, data and settings go. */
  get obstacle(): Obstacle | undefined {
    return findObstacle(this);
  }

  /** Whether rows are held out to check the run on the chart: those of a run that is over have left their losses. */
  get holdsOut(): boolean {
    const { record, running, lastEval } = this.training;
    return lastEval !== undefined || ((running || !record) && this.recipe.config.val_set_size > 0);
  }

  /** What a new run would train, and on what. */
  get nextRun(): string | undefined {
    const { report } = this.model;
    return report && `${report.name} on ${this.dataset.ref.name}`;
  }

  /** From a fresh visit to training in one call: the starter, the policy pairs, and the recipe for them. */
  async quickStart(): Promise<void> {
    this.error = undefined;
    const refused = findRefused(this.recipe);
    if (refused) return reveal(refused.target);
    try {
      if (!this.model.isStarter) await this.model.open(STARTER);
      const rows = this.dataset.isBuiltin ? this.recipe.config.max_train_samples : undefined;
      this.dataset.useBuiltin();
      this.recipe.useQuickstart();
      if (rows !== undefined) this.recipe.set('max_train_samples', rows);
      if (this.request && !this.device.error) await this.begin(this.request); // the built-in data need no reading before
    } catch (error) {
      this.error = plainError(error);
    }
  }

  async start(): Promise<void> {
    const { request } = this;
    if (request && this.canTrain) await this.begin(request);
  }

  private async begin(request: TrainRequest): Promise<void> {
    if (this.training.running) return;
    this.leaveConversation();
    this.download.clear(); // the run goes on with it
    void this.device.askToPersist();
    await this.training.start(request);
  }

  async resume(runId: string): Promise<void> {
    await this.openRun(runId);
    const { record } = this.library.opened ?? {};
    if (!record || this.training.running) return;
    this.leaveConversation();
    await this.training.resume(runId, this.model.refOf(record.model), this.budget.talks);
  }

  /** Shows a past run, and makes it the one that Chat and Export use. */
  async openRun(runId: string): Promise<void> {
    await this.library.open(runId);
    const { opened } = this.library;
    if (opened?.record.id !== runId) return;
    this.leaveConversation();
    this.training.show(opened);
  }

  async deleteRun(runId: string): Promise<void> {
    await this.library.delete(runId);
    if (this.library.opened) return;
    this.leaveConversation();
    this.training.clear();
  }

  /** Chooses other data; a limit on the rows was meant for the data before. */
  useData(choose: () => void): void {
    choose();
    this.recipe.set('max_train_samples', undefined);
  }

  async openFolder(folder: ChosenFolder): Promise<void> {
    await this.model.openFolder(folder);
    if (!this.model.error) this.recipe.useUnlessTouched(DEFAULTS);
  }

  /** Opens a model on the Hub: its facts and its fit, without a byte of its weights. */
  async openHub(ref: HubRef): Promise<void> {
    this.download.clear();
    await this.model.open(ref);
    if (!this.model.error) this.recipe.useUnlessTouched(HUB_DEFAULTS);
  }

  /** The settings that the next run would have with a model from the Hub. */
  get hubConfig(): RunConfig {
    return this.recipe.unlessTouched(HUB_DEFAULTS);
  }

  /** Asks once more for the model that did not open: there is a token now. */
  async reopen(): Promise<void> {
    const { asksHub } = this.model;
    if (asksHub) await this.openHub(asksHub);
  }

  /** Searches the Hub; a model's whole name opens it. */
  async find(query: string): Promise<void> {
    const named = await this.hub.find(query);
    if (named) await this.openHub(named);
  }

  /** What this browser keeps of the open model's weights, in the types that the next run needs. */
  get keptWeights(): KeptWeights | undefined {
    const { onHub } = this.model;
    const { plan } = this.preview;
    return onHub && plan ? this.library.weightsOf(onHub, plan.storage) : undefined;
  }

  async fetchWeights(): Promise<void> {
    const { report, onHub } = this.model;
    if (!report || !onHub || this.training.running) return;
    void this.device.askToPersist();
    await this.download.start(onHub, this.recipe.config, report.weightBytes);
  }

  /** A run that never began is in no library: what was open before it is shown again, with the reason. */
  private returnToOpened(runId: string): void {
    const { opened } = this.library;
    if (this.training.record?.id !== runId) return; // that was done already: a run's coming and going are both told
    this.training.leaveUnbegun(opened);
    if (opened) this.library.remember(opened.record.id);
  }

  private leaveConversation(): void {
    this.chat.clear();
    this.compare.clear();
  }

  private async runChanged(runId: string): Promise<void> {
    if (this.training.running) this.library.remember(runId);
    await this.library.refresh();
    if (this.training.running) return;
    if (this.library.loaded && !this.library.error && !this.library.runs.some(({ id }) => id === runId)) {
      return this.returnToOpened(runId);
    }
    await this.library.open(runId);
    const { opened } = this.library;
    // Another run may have been started meanwhile.
    if (opened?.record.id === runId && this.training.record?.id === runId) this.training.record = opened.record;
  }
}
