/** How the page names the states of a run, and its end: one word for each, wherever it is said. */
import type { LogRow } from '../../../core/events';
import { canGoOn, type RunRecord, type RunState } from '../../../core/library';
import { formatLoss } from '../../format';

export const RUN_STATES: Readonly<Record<RunState, string>> = {
  running: 'Training',
  finished: 'Finished',
  cancelled: 'Stopped',
  failed: 'Failed',
  interrupted: 'Interrupted',
};

/** What happened to a run, in the word of its state. */
const HAPPENED: Readonly<Record<RunState, string>> = {
  running: 'is training in another tab',
  finished: 'is finished',
  cancelled: 'was stopped',
  failed: 'failed',
  interrupted: 'was interrupted',
};

/** Said while a run that is to be stopped ends its step. */
export const STOPPING = 'Stopping after this step…';

/** Said of a run whose worker was ended for its sake. */
export const FORCE_STOPPED = 'Training was stopped in the middle of a step. Resume goes on from the last checkpoint.';

/** The title over the reason why a run ended before its end: `The run failed`. */
export function titleEnd(state: RunState): string {
  return `The run ${HAPPENED[state]}`;
}

/** A sentence on a run that is over, or trains elsewhere. `last` is its last row with a loss. */
export function describeEnd({ state, totalSteps }: RunRecord, last: LogRow | undefined): string {
  if (totalSteps === 0) return 'The run never began.';
  const happened = titleEnd(state);
  if (state === 'running') return `${happened}.`;
  if (state === 'finished') return `${happened}${last ? `, with a loss of ${formatLoss(last.loss)}` : ''}.`;
  return `${happened}${last ? ` at step ${last.step}, with a loss of ${formatLoss(last.loss)}` : ' before its first step'}.`;
}

/** A sentence on a run that ended before its end and answers all the same, by its last checkpoint; undefined of any other. */
export function describeKept(record: RunRecord, name = 'The run'): string | undefined {
  const { state, checkpointStep } = record;
  if (!canGoOn(record) || checkpointStep === 0) return undefined;
  return `${name} ${HAPPENED[state]}: what answers is what it had learned by step ${checkpointStep}.`;
}
