/** Whether rows are held out of the next run: what is proposed for its data, and whether that was turned down. */
import { isText, loadTabSetting, saveTabSetting } from '../../persisted';
import type { DatasetState } from '../data/dataset.svelte';
import type { PreviewState } from '../data/preview.svelte';
import { countHeldOut, proposeHeldOut } from './held-out';
import type { RecipeState } from './recipe.svelte';

/** The dataset of which no row is to be held out, because the visitor said so. */
const SETTING = 'trains-on-all';

export class HoldOutState {
  private trainsOnAll = $state(loadTabSetting<string | null>(SETTING, null, isText));

  constructor(
    private readonly recipe: RecipeState,
    private readonly preview: PreviewState,
    private readonly dataset: DatasetState,
  ) {}

  /** Rows that the next run reads; undefined until they are known. */
  get rows(): number | undefined {
    if (this.preview.outdated) return undefined; // what is known is of other data
    return this.preview.estimatedRows ?? this.preview.report?.kept;
  }

  /** Rows that the next run holds out. */
  get heldOut(): number {
    return countHeldOut(this.rows ?? 0, this.recipe.config.val_set_size);
  }

  /** Undefined where the rows are too few, or not known. */
  get proposal() {
    return this.rows === undefined ? undefined : proposeHeldOut(this.rows);
  }

  get holdsOut(): boolean {
    return this.recipe.config.val_set_size > 0;
  }

  /** The proposal for these data was turned down. */
  get isDeclined(): boolean {
    return !this.holdsOut && this.trainsOnAll === this.dataset.ref.id;
  }

  accept(): void {
    if (this.proposal && !this.holdsOut) this.recipe.change({ val_set_size: this.proposal.valSetSize });
  }

  decline(): void {
    this.recipe.change({ val_set_size: 0 });
    this.trainsOnAll = this.dataset.ref.id;
    saveTabSetting(SETTING, this.trainsOnAll);
  }
}
