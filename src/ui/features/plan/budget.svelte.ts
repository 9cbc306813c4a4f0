/** How much GPU memory a run may take, and what has to change for it to fit. */
import type { PlainError } from '../../../core/errors';
import type { FitReport } from '../../../protocol/plan';
import type { TrainRequest } from '../../../protocol/runs';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { isFlag, isText, loadSetting, saveSetting } from '../../persisted';
import type { Choices, RecipeState } from '../runs/recipe.svelte';

const SETTING = 'budget-gib';
const TALK_SETTING = 'talk';
const GIB = 2 ** 30;

/** The next run's settings, as far as a proposal may change them. */
interface Settings {
  readonly choices: Choices;
  readonly yaml: string;
  readonly talks: boolean;
}

export class BudgetState {
  /** In GiB, as typed: WebGPU names no memory size, so the user does. Empty where nobody has. */
  typed = $state(loadSetting(SETTING, '', isText));
  proposal = $state.raw<FitReport>();
  /** Whether the next run makes room for a chat with it; about a tenth of what a run takes, which the plan says. */
  talks = $state(loadSetting(TALK_SETTING, true, isFlag));

  /** What the settings were before the last proposal was taken, and after it. */
  private taken = $state.raw<{ before: Settings; after: Settings }>();
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

  setTalks(talks: boolean): void {
    this.talks = talks;
    saveSetting(TALK_SETTING, talks);
  }

  async propose(run: TrainRequest): Promise<void> {
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
    const { choices, talk } = this.proposal ?? { choices: [], talk: this.talks };
    const before = this.settings;
    if (!this.recipe.change(Object.fromEntries(choices.map(({ key, value }) => [key, value])))) return;
    this.setTalks(talk);
    this.taken = { before, after: this.settings };
    this.forget();
  }

  /** Whether the settings are still those that were taken. */
  get canUndo(): boolean {
    const { yaml, talks } = this.taken?.after ?? {};
    return this.recipe.yaml === yaml && this.talks === talks;
  }

  undo(): void {
    if (this.taken && this.canUndo) {
      this.recipe.use(this.taken.before.choices);
      this.setTalks(this.taken.before.talks);
    }
    this.taken = undefined;
  }

  private get settings(): Settings {
    return { choices: this.recipe.choices, yaml: this.recipe.yaml, talks: this.talks };
  }
}
