/** Why two runs can't both be asked now. */
import { canSpeak, type RunDetail } from '../../../core/library';

export interface AskedPair {
  readonly runs: readonly [Pick<RunDetail, 'record' | 'files'>, Pick<RunDetail, 'record' | 'files'>];
  /** What they are called beside each other. */
  readonly names: readonly [string, string];
  /** Whether the base model of each can be opened from here. */
  readonly hasModels: readonly [boolean, boolean];
  /** What the GPU does in this tab. */
  readonly isTraining: boolean;
  readonly isAnswering: boolean;
}

/** A sentence that says what to do about it; undefined where both can be asked. */
export function findAskObstacle({ runs, names, hasModels, isTraining, isAnswering }: AskedPair): string | undefined {
  if (isTraining) return 'The GPU is training: ask both when the run is over.';
  for (const [at, run] of runs.entries()) {
    const { state, model } = run.record;
    const name = names[at];
    if (state === 'running') return `${name} is training in another tab: ask both when it is over.`;
    if (!canSpeak(run)) return `${name} can't answer: it ended before its first checkpoint.`;
    if (!hasModels[at]) return `${name} can't answer: open the folder of its base model, ${model.name}, under Models.`;
  }
  return isAnswering ? 'The GPU is answering something else: ask both when it is done.' : undefined;
}
