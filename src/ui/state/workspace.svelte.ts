/** Everything that the page holds, one class for each concern, and what happens between them. */
import type { RunConfig } from '../../core/config';
import type { PlainError } from '../../core/events';
import type { HubRef, KeptWeights, RunRequest } from '../../protocol';
import { toPlainError } from '../client/errors';
import type { ChosenFolder } from '../client/files';
import { WorkerClient } from '../client/worker-client';
import { BudgetState } from './budget.svelte';
import { ChatState } from './chat.svelte';
import { CompareState } from './compare.svelte';
import { DatasetState } from './dataset.svelte';
import { DownloadState } from './download.svelte';
import { DeviceState } from './device.svelte';
import { HubState } from './hub.svelte';
import { LibraryState } from './library.svelte';
import { ModelState, STARTER } from './model.svelte';
import { PreviewState } from './preview.svelte';
import { DEFAULTS, HUB_DEFAULTS, RecipeState } from './recipe.svelte';
import { SamplingState } from './sampling.svelte';
import { TrainingState } from './training.svelte';

/** Milliseconds between two looks at a run that another tab trains. */
const OTHER_TABS_INTERVAL = 2000;

export class Workspace {
  readonly client = new WorkerClient();
  readonly device = new DeviceState(this.client);
  readonly model = new ModelState(this.client);
  readonly hub = new HubState(this.client);
  readonly dataset = new DatasetState(this.client);
  readonly recipe = new RecipeState();
  readonly preview = new PreviewState(this.client);
  readonly budget = new BudgetState(this.client, this.recipe);
  readonly library = new LibraryState(this.client);
  readonly download = new DownloadState(this.client, () => this.library.refresh());
  readonly training = new TrainingState(this.client, (runId) => this.runChanged(runId));
  readonly sampling = new SamplingState();
  readonly chat = new ChatState(this.client, this.sampling);
  readonly compare = new CompareState(this.client);

  /** Set once everything of the last visit is back. */
  ready = $state(false);
  /** Whether the visitor sees the large quick-start button. */
  quickStartInView = $state(false);
  error = $state.raw<PlainError>();

  /** Brings back what was open before the reload. */
  async restore(): Promise<void> {
    try {
      const detected = this.device.detect();
      await this.device.readPersistence();
      await this.recipe.restore();
      await this.dataset.restore();
      await Promise.all([this.model.restore(), this.library.restore(), this.hub.restore()]);
      if (this.library.opened) this.training.show(this.library.opened);
      this.ready = true;
      await detected;
    } catch (error) {
      this.error = toPlainError(error);
    }
  }

  /**
   * Looks again, from time to time, at runs that another tab trains. A tab that has just died may still hold its run
   * for a moment, too.
   */
  followOtherTabs(): () => void {
    const timer = setInterval(() => {
      if (this.training.running || !this.library.runs.some(({ state }) => state === 'running')) return;
      void this.library.refresh().then(() => {
        const { record } = this.training;
        const found = this.library.runs.find(({ id }) => id === record?.id);
        if (found && !this.training.running && JSON.stringify(found) !== JSON.stringify(record))
          void this.openRun(found.id);
      });
    }, OTHER_TABS_INTERVAL);
    return () => clearInterval(timer);
  }

  /** What the next run would be made of; undefined until a model is open. */
  get request(): RunRequest | undefined {
    const model = this.model.report;
    if (!model || !this.ready) return undefined;
    const names = { model_name_or_path: model.name, dataset: this.dataset.ref.name };
    const revision = this.model.onHub?.commit ?? this.recipe.config.revision; // a branch moves on, a commit doesn't
    return { model: model.ref, dataset: this.dataset.ref, config: { ...this.recipe.config, ...names, revision } };
  }

  get canTrain(): boolean {
    return this.request !== undefined && !this.training.running && !this.device.error;
  }

  /** From a fresh visit to training in one call: the starter, the policy pairs, and the recipe for them. */
  async quickStart(): Promise<void> {
    this.error = undefined;
    try {
      if (!this.model.isStarter) await this.model.open(STARTER);
      const rows = this.dataset.isBuiltin ? this.recipe.config.max_train_samples : undefined;
      this.dataset.useBuiltin();
      await this.recipe.useQuickstart();
      if (rows !== undefined) this.recipe.set('max_train_samples', rows);
      await this.start();
    } catch (error) {
      this.error = toPlainError(error);
    }
  }

  async start(): Promise<void> {
    const { request } = this;
    if (!request || !this.canTrain) return;
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
    await this.training.resume(runId, this.model.refOf(record.model));
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

  private leaveConversation(): void {
    this.chat.clear();
    this.compare.clear();
  }

  private async runChanged(runId: string): Promise<void> {
    this.library.remember(runId);
    await this.library.refresh();
    if (this.training.running) return;
    await this.library.open(runId);
    const { opened } = this.library;
    if (opened?.record.id === runId) this.training.record = opened.record;
  }
}
