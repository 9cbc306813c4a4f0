/** The model that is open. */
import type { PlainError } from '../../../core/errors';
import type { StoredModel } from '../../../core/library';
import type { HubRef } from '../../../protocol/hub';
import type { ModelRef, ModelReport } from '../../../protocol/models';
import { Job } from '../../client/job.svelte';
import type { ChosenFolder } from '../../client/files';
import type { Workers } from '../../client/workers';
import { loadModelRef, saveModelRef, STARTER } from './kept-model';

export class ModelState {
  report = $state.raw<ModelReport>();
  /** What went wrong, in words, with the model that was asked for last. */
  error = $state.raw<PlainError>();
  /** The name of what is being opened. */
  opening = $state<string>();
  /** Why no copy of the model could be kept, or not all of what opening it read. */
  notKept = $state<string>();
  /** Keep a copy of folders in this browser. */
  keep = $state(true);

  private asked = $state.raw<ModelRef>(STARTER);
  private readonly openingJob: Job<'models.open'>;
  private readonly keeping: Job<'models.keep'>;
  /** Set once anything was asked for: the visitor is quicker than a restore, then. */
  private isAsked = false;

  constructor(workers: Workers) {
    this.openingJob = new Job(workers, 'models.open');
    this.keeping = new Job(workers, 'models.keep');
  }

  /** Opens what was open before the reload; what can't be opened any more is said, and the starter comes instead. */
  async restore(): Promise<void> {
    if (this.isAsked) return;
    const ref = loadModelRef();
    await this.open(ref);
    if (this.asked !== ref || !this.error || this.report) return;
    const { error } = this;
    await this.open(STARTER);
    if (this.asked === STARTER) this.error ??= error;
  }

  openFolder({ name, files }: ChosenFolder): Promise<void> {
    return this.open({ kind: 'files', id: crypto.randomUUID(), name, files });
  }

  /** Bytes that are copied, while a folder is kept. */
  get copying() {
    return this.keeping.progress;
  }

  /** Opens a model and leaves the one before in place where that fails. */
  async open(ref: ModelRef): Promise<void> {
    this.isAsked = true;
    this.keeping.clear();
    this.asked = ref;
    this.error = undefined;
    this.opening = ref.name;
    const isStale = () => this.asked !== ref;
    let report = await this.openingJob.run({ ref });
    if (isStale()) return;
    let notKept = this.openingJob.notices[0];
    if (report && ref.kind === 'files' && this.keep) {
      const copy = await this.keeping.run({ ref });
      if (isStale()) return;
      if (copy) report = { ...report, ref: copy };
      else if (this.keeping.error?.code === 'storage') notKept = this.keeping.error.message;
      else report = undefined;
    }
    this.opening = undefined;
    this.error = this.openingJob.error ?? (report ? undefined : this.keeping.error);
    if (!report) return;
    this.report = report;
    this.notKept = notKept;
    if (report.ref.kind !== 'files') saveModelRef(report.ref);
  }

  /** The model on the Hub that was asked for last, whether it opened or not. */
  get asksHub(): HubRef | undefined {
    return this.asked.kind === 'hub' ? this.asked : undefined;
  }

  /** Stops the opening and the copy under way. */
  cancel(): void {
    this.openingJob.cancel();
    this.keeping.cancel();
  }

  get isStarter(): boolean {
    return this.report?.ref.kind === 'builtin' && this.report.ref.name === STARTER.name;
  }

  /** The model on the Hub that is open. */
  get onHub(): HubRef | undefined {
    const ref = this.report?.ref;
    return ref?.kind === 'hub' ? ref : undefined;
  }

  /** How to ask for a past run's model; null where only the user can open its folder. */
  refOf(stored: StoredModel): ModelRef | null {
    if (stored.kind !== 'folder') return stored;
    const open = this.report?.ref;
    return open?.kind === 'files' && open.name === stored.name ? open : null;
  }
}
