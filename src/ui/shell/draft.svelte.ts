/** The next run, as it is edited on the workbench: a model, data, settings, and what they would take. */
import { formatRunConfig, parseRunConfig, type RunConfig } from '../../core/config';
import type { PlainError } from '../../core/errors';
import type { HubRef } from '../../protocol/hub';
import type { KeptWeights } from '../../protocol/models';
import type { TrainRequest } from '../../protocol/runs';
import type { ChosenFolder } from '../client/files';
import type { Workers } from '../client/workers';
import { DatasetState, TITLE_FEES } from '../features/data/dataset.svelte';
import { PreviewState } from '../features/data/preview.svelte';
import type { DeviceState } from '../features/device/device.svelte';
import { DownloadState } from '../features/models/download.svelte';
import { STARTER } from '../features/models/kept-model';
import { ModelState } from '../features/models/model.svelte';
import { BudgetState } from '../features/plan/budget.svelte';
import type { LibraryState } from '../features/runs/library.svelte';
import { HoldOutState } from '../features/runs/hold-out.svelte';
import { countTokens, estimateSeconds, guessSeconds, paceKey } from '../features/runs/pace';
import { QUICKSTART, RecipeState, type DraftFacts } from '../features/runs/recipe.svelte';
import { loadTabSetting, saveTabSetting } from '../persisted';
import { warnOf, type Warnings } from '../features/runs/warnings';
import { findObstacle, type Obstacle } from './obstacle';

const SKIPPED_SHARE = 'skipped-share';

/** What is taken of a model and of data that are not there yet: the built-in ones, about. */
const UNKNOWN: DraftFacts = { parameters: 2e6, maxPositions: 512, isOnHub: false, rows: 100, longest: 64 };

/** What is taken of a model of the Hub, before one is open. */
const ON_HUB = { parameters: 1e9, maxPositions: 4096, isOnHub: true };

export class Draft {
  readonly model: ModelState;
  readonly dataset: DatasetState;
  readonly recipe = new RecipeState(() => this.facts);
  readonly preview: PreviewState;
  readonly holdOut: HoldOutState;
  readonly budget: BudgetState;
  readonly download: DownloadState;

  /** Set once everything of the last visit is back. */
  ready = $state(false);
  /** Why the run that was started last never began. */
  unbegunError = $state.raw<PlainError>();
  /** What of the run file that was taken last is not used, in a sentence. */
  runFileNote = $state<string>();
  /** The share of bad rows that a button allowed for the data that are chosen, which a run file doesn't say of others. */
  private skippedShare = loadTabSetting<number | null>(SKIPPED_SHARE, null, isShare);

  constructor(
    workers: Workers,
    private readonly device: DeviceState,
    private readonly library: LibraryState,
  ) {
    this.model = new ModelState(workers);
    this.dataset = new DatasetState(workers);
    this.preview = new PreviewState(workers);
    this.holdOut = new HoldOutState(this.recipe, this.preview, this.dataset);
    this.budget = new BudgetState(workers, this.recipe);
    this.download = new DownloadState(workers, () => library.refresh());
  }

  /** What the presets depend on: the model that is open, and the data as they were read last. */
  private get facts(): DraftFacts {
    const { report, onHub } = this.model;
    const { rows = UNKNOWN.rows, longest = UNKNOWN.longest } = this.preview;
    if (!report) return { ...UNKNOWN, rows, longest };
    const { parameters, maxPositions } = report;
    return { parameters, maxPositions, isOnHub: onHub !== undefined, rows, longest };
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

  /**
   * The run of the first visit: the starter on the policy pairs. Where that is what the draft has, it is the draft, with
   * what was changed of it; otherwise the draft stays as it is beside it.
   */
  get quickStart(): TrainRequest | undefined {
    const { request } = this;
    if (!this.ready || (request && this.isQuickStart)) return request;
    return { model: STARTER, dataset: TITLE_FEES, config: QUICKSTART, talk: this.budget.talks };
  }

  get isQuickStart(): boolean {
    return this.model.isStarter && this.dataset.isBuiltin;
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

  /** Why no run can be started yet, as far as model, data and settings go. */
  get obstacle(): Obstacle | undefined {
    return findObstacle(this);
  }

  /** What of the settings can hardly be meant, by key. */
  get warnings(): Warnings {
    const { report, estimatedRows, plan } = this.preview;
    const { config } = this.recipe;
    const isWhole = report !== undefined && estimatedRows === undefined;
    return warnOf({
      config,
      rows: isWhole ? report.kept : undefined,
      truncated: isWhole ? report.truncated : undefined,
      totalSteps: config.max_steps > 0 ? config.max_steps : plan?.totalSteps,
    });
  }

  /** Flops of the next run, about, and what sets its pace; undefined until model and data are read. */
  get workload(): { key: string; flops: number } | undefined {
    const { request } = this;
    const { report, plan, estimatedRows } = this.preview;
    if (!request || !report || !plan || estimatedRows !== undefined) return undefined;
    const key = paceKey(request.config.model_name_or_path, request.config);
    return { key, flops: countTokens(report, request.config, plan.totalSteps) * plan.flopsPerToken };
  }

  /** How long it will take: by the last run like it in this browser, or roughly, by what the GPU was measured at. */
  get duration(): { readonly seconds: number; readonly isRough: boolean } | undefined {
    const { workload, device } = this;
    if (!workload) return undefined;
    const known = estimateSeconds(workload.key, workload.flops);
    if (known !== undefined) return { seconds: known, isRough: false };
    if (device.rate === undefined) return undefined;
    return { seconds: guessSeconds(workload.flops, device.rate), isRough: true };
  }

  /** What a new run would train, and on what. */
  get title(): string | undefined {
    const { report } = this.model;
    return report && `${report.name} on ${this.dataset.ref.name}`;
  }

  /** Chooses other data; a limit on the rows and a mapping of columns were meant for the data before. */
  useData(choose: () => void): void {
    choose();
    // What was said of other data: how many rows, their columns, and by the button that bad ones are left out.
    const isSkipping = this.skippedShare !== null && this.recipe.config.max_bad_rows === this.skippedShare;
    this.recipe.change({
      max_train_samples: undefined,
      dataset_mapping: undefined,
      ...(isSkipping && { max_bad_rows: undefined }),
    });
    this.keepSkippedShare(null);
  }

  /** Lets the run leave out the rows that can't be used: the share of them, rounded up to whole percents. */
  skipBadRows(): void {
    const { report } = this.preview;
    if (!report) return;
    const share = Math.min(1, Math.ceil((100 * report.skipped.length) / report.rows) / 100);
    this.recipe.set('max_bad_rows', share);
    this.keepSkippedShare(share);
  }

  private keepSkippedShare(share: number | null): void {
    this.skippedShare = share;
    saveTabSetting(SKIPPED_SHARE, share);
  }

  async openFolder(folder: ChosenFolder): Promise<void> {
    await this.model.openFolder(folder);
    await this.library.refresh(); // a copy may be kept now
  }

  /** Opens a model on the Hub: its facts and its fit, without a byte of its weights. */
  async openHub(ref: HubRef): Promise<void> {
    this.download.clear();
    await this.model.open(ref);
  }

  /** The settings that the next run would have with a model from the Hub. */
  get hubConfig(): RunConfig {
    return this.recipe.configFor({ ...this.facts, ...ON_HUB });
  }

  /** Asks once more for the model that did not open: there is a token now. */
  async reopen(): Promise<void> {
    const { asksHub } = this.model;
    if (asksHub) await this.openHub(asksHub);
  }

  /** What this browser keeps of the open model's weights, in the types that the next run needs. */
  get keptWeights(): KeptWeights | undefined {
    const { onHub } = this.model;
    const { plan } = this.preview;
    return onHub && plan ? this.library.weightsOf(onHub, plan.storage) : undefined;
  }

  async fetchWeights(): Promise<void> {
    const { report, onHub } = this.model;
    if (!report || !onHub) return;
    void this.device.askToPersist();
    await this.download.start(onHub, this.recipe.config, report.weightBytes);
  }
}

function isShare(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && value >= 0 && value <= 1);
}
