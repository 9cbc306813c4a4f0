/** The steps of the workbench on a narrow screen: rows that open and fold. */
import { MediaQuery } from 'svelte/reactivity';
import { formatCount, plural } from '../../core/format';
import { loadSetting, saveSetting } from '../persisted';
import { describePreset, PRESET_TITLES } from '../features/runs/presets';
import { settingLabel } from '../features/runs/settings';
import { formatMillions, formatPercent } from '../format';
import type { Draft } from './draft.svelte';

export type StepId = 'model' | 'data' | 'check' | 'settings';

const SETTING = 'open-steps';
const ALL: readonly StepId[] = ['model', 'data', 'check', 'settings'];
const isSteps = (value: unknown): value is StepId[] =>
  Array.isArray(value) && value.every((id) => ALL.some((step) => step === id));

export class Steps {
  private readonly narrow = new MediaQuery('(max-width: 40rem)');
  /** On a window that is made narrow while the page is open, nothing folds by itself. */
  private open = $state.raw<readonly StepId[]>(loadSetting(SETTING, this.narrow.current ? [] : ALL, isSteps));

  /** Whether steps fold at all. */
  get fold(): boolean {
    return this.narrow.current;
  }

  isOpen(id: StepId): boolean {
    return !this.fold || this.open.includes(id);
  }

  toggle(id: StepId): void {
    this.open = this.open.includes(id) ? this.open.filter((step) => step !== id) : [...this.open, id];
    saveSetting(SETTING, this.open);
  }

  show(id: StepId): void {
    if (!this.isOpen(id)) this.toggle(id);
  }
}

/** What is in a step, in a line. */
export function describeStep(id: StepId, draft: Draft): string {
  return LINES[id](draft);
}

const LINES: Readonly<Record<StepId, (draft: Draft) => string>> = {
  model({ model }) {
    if (model.opening !== undefined) return `Opening ${model.opening}…`;
    if (!model.report) return model.error ? 'None is open' : '…';
    return `${model.report.name}, ${formatMillions(model.report.parameters)} parameters`;
  },
  data({ dataset, preview }) {
    const { name } = dataset.ref;
    if (preview.dataError) return `${name}: can't be used yet`;
    if (!preview.report || preview.outdated) return `${name}: being read…`;
    const { estimatedRows, report } = preview;
    return `${name}, ${estimatedRows === undefined ? plural(report.kept, 'row') : `about ${formatCount(estimatedRows)} rows`}`;
  },
  check({ recipe, holdOut }) {
    const { val_set_size: held } = recipe.config;
    const { proposal, rows = 0, isDeclined } = holdOut;
    if (held === 0 && proposal && !isDeclined)
      return `Optional: hold out ${formatCount(proposal.rows)} of ${plural(rows, 'row')}?`;
    if (held === 0) return isDeclined ? `Trains on all ${plural(rows, 'row')}` : 'No rows held out';
    return held < 1 ? `${formatPercent(held)} of the rows held out` : `${plural(held, 'row')} held out`;
  },
  settings({ recipe }) {
    const { preset, differences, config } = recipe;
    const hasRank = config.use_peft && config.peft_type === 'LORA';
    if (differences.length === 0) return `${PRESET_TITLES[preset]}: ${describePreset(config, hasRank)}`;
    const named = differences.slice(0, 2).map(({ key, after }) => `${settingLabel(key)} ${after}`);
    return `Custom: ${named.join(', ')}${differences.length > 2 ? ', …' : ''}`;
  },
};
