/** What keeps the next run from being started, and where that is put right. */
import type { RecipeState } from '../features/runs/recipe.svelte';
import { settingLabel } from '../features/runs/settings';
import type { RunConfigKey } from '../../core/config';
import { shorten } from '../../core/format';
import type { RunRequest } from '../../protocol/data';
import type { DatasetState } from '../features/data/dataset.svelte';
import type { PreviewState } from '../features/data/preview.svelte';
import type { ModelState } from '../features/models/model.svelte';

export interface Obstacle {
  /** A sentence. */
  readonly message: string;
  /** What a button that leads there says; absent where there is nothing to do but wait. */
  readonly label?: string;
  /** The id of the element. */
  readonly target: string;
}

/** What the next run is made of. */
export interface DraftParts {
  readonly model: Pick<ModelState, 'opening' | 'error'>;
  readonly dataset: Pick<DatasetState, 'isBuiltin' | 'hasUnusedText' | 'halfMapped'>;
  readonly preview: Pick<PreviewState, 'hasRead' | 'busy' | 'stopped' | 'dataError'>;
  readonly recipe: RecipeState;
  readonly request: RunRequest | undefined;
  /** Everything of the last visit is back. */
  readonly ready: boolean;
}

/** Undefined where nothing does, and before the page is ready. */
export function findObstacle({ model, dataset, preview, recipe, request, ready }: DraftParts): Obstacle | undefined {
  const refused = findRefused(recipe);
  if (refused || !ready) return refused;
  if (dataset.hasUnusedText) {
    return { message: 'The pasted text is not used yet.', label: 'Go to the text', target: 'dataset-text' };
  }
  const inModel = { target: 'model' } as const;
  if (!request) {
    if (model.opening || !model.error) return { message: 'The model is being opened.', ...inModel };
    return { message: 'No model is open.', label: 'Open a model', ...inModel };
  }
  // Where the data are read by what was chosen before, or by the names, the choice isn't what a run would take.
  if (dataset.halfMapped !== undefined) {
    return { message: dataset.halfMapped, label: 'Go to the columns', target: 'columns' };
  }
  if (preview.hasRead(request)) return undefined;
  const inData = { target: 'data' } as const;
  const name = dataset.isBuiltin ? 'The built-in data' : request.dataset.name;
  if (preview.busy) return { message: `${name}: still being read.`, ...inData };
  if (preview.stopped) return { message: `${name}: not read to the end.`, label: 'Go to the data', ...inData };
  if (!preview.dataError) return { message: `${name}: still being read.`, ...inData };
  return { message: `${name} can't be used yet: Data says why.`, label: 'Go to the data', ...inData };
}

/** A field that holds something else than the settings have. */
export function findRefused(recipe: RecipeState): Obstacle | undefined {
  const [key] = Object.keys(recipe.refused) as RunConfigKey[];
  if (key !== undefined) {
    const message = `“${settingLabel(key)}” holds ${quoteTyped(recipe.refused[key]!.typed)}, which can't be used.`;
    return { message, label: 'Go to that setting', target: `setting-${key}` };
  }
  if (recipe.editedFile === undefined) return undefined;
  return {
    message: 'The run file was changed, and the change is neither used nor undone.',
    label: 'Go to the run file',
    target: 'run-file',
  };
}

function quoteTyped(typed: string): string {
  const text = typed.trim();
  return text === '' ? 'nothing' : `“${shorten(text, 40)}”`;
}
