/** How much GPU memory a run may take, and what has to change for it to fit. */
import type { PlainError } from '../../../core/errors';
import type { RunRequest } from '../../../protocol/data';
import type { FitReport } from '../../../protocol/plan';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { isText, loadSetting, saveSetting } from '../../persisted';
import type { RecipeState } from '../runs/recipe.svelte';

const SETTING = 'budget-gib';
const GIB = 2 ** 30;

export class BudgetState {
  /** In GiB, as typed: WebGPU names no memory size, so the user does. Empty where nobody has. */
  typed = $state(loadSetting(SETTING, '', isText));
  proposal = $state.raw<FitReport>();

  /** The run file before the last proposal was taken, and after it. */
  private taken = $state.raw<{ before: string; after: string }>();
  private readonly fitting: Job<'plan.fit'>;

  constructor(
    workers: Workers,
    private readonly recipe: RecipeState,
  ) {
    this.fitting = new Job(workers, 'plan.fit');
  }

  /** Nothing fits: why, and what is left to do. */
  get error(): PlainError | undefined {
    return this.fitting.error;
  }

  get busy(): boolean {
    return this.fitting.isRunning;
  }

  /** Undefined where none was given, or what was typed is no size. */
  get bytes(): number | undefined {
    const gib = Number(this.typed.replace(',', '.'));
    return this.typed.trim() !== '' && gib > 0 && gib < Infinity ? Math.floor(gib * GIB) : undefined;
  }

  set(typed: string): void {
    this.typed = typed;
    this.forget();
    saveSetting(SETTING, typed);
  }

  async propose(run: RunRequest): Promise<void> {
    const { bytes } = this;
    if (bytes === undefined) return;
    this.forget();
    this.proposal = await this.fitting.run({ run, budgetBytes: bytes });
  }

  /** Drops the proposal, and the one under way: it was for another run or another budget. */
  forget(): void {
    this.fitting.clear();
    this.proposal = undefined;
  }

  /** Makes the proposal the settings of the next run. */
  useProposal(): void {
    const choices = this.proposal?.choices ?? [];
    const before = this.recipe.yaml;
    if (!this.recipe.change(Object.fromEntries(choices.map(({ key, value }) => [key, value])))) return;
    this.taken = { before, after: this.recipe.yaml };
    this.forget();
  }

  /** Whether the settings are still those that were taken. */
  get canUndo(): boolean {
    return this.taken?.after === this.recipe.yaml;
  }

  undo(): void {
    if (this.taken && this.canUndo) this.recipe.load(this.taken.before);
    this.taken = undefined;
  }
}
