/** How much GPU memory a run may take, and what has to change for it to fit. */
import type { PlainError } from '../../core/events';
import type { FitReport, RunRequest } from '../../protocol';
import { toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';
import { isText, loadSetting, saveSetting } from './persisted';
import type { RecipeState } from './recipe.svelte';

const SETTING = 'budget-gib';
const GIB = 2 ** 30;

export class BudgetState {
  /** In GiB, as typed: WebGPU names no memory size, so the user does. Empty where nobody has. */
  typed = $state(loadSetting(SETTING, '', isText));
  proposal = $state.raw<FitReport>();
  /** Nothing fits: why, and what is left to do. */
  error = $state.raw<PlainError>();
  busy = $state(false);

  /** The run file before the last proposal was taken, and after it. */
  private taken = $state.raw<{ before: string; after: string }>();
  private asked = 0;

  constructor(
    private readonly client: WorkerClient,
    private readonly recipe: RecipeState,
  ) {}

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

  async propose(request: RunRequest): Promise<void> {
    const { bytes } = this;
    if (bytes === undefined) return;
    this.forget();
    const ask = this.asked;
    this.busy = true;
    try {
      const proposal = await this.client.call((worker) => worker.fit(request, bytes));
      if (ask === this.asked) this.proposal = proposal;
    } catch (error) {
      if (ask === this.asked) this.error = toPlainError(error);
    } finally {
      if (ask === this.asked) this.busy = false;
    }
  }

  /** Drops the proposal, and the one under way: it was for another run or another budget. */
  forget(): void {
    this.asked++;
    this.proposal = undefined;
    this.error = undefined;
    this.busy = false;
  }

  /** Makes the proposal the settings of the next run. */
  take(): void {
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
