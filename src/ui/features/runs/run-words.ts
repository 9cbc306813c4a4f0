/** How the page names the states of a run, and its end. */
import type { LogRow } from '../../../core/events';
import type { RunRecord, RunState } from '../../../core/library';
import { formatLoss } from '../../format';

export const RUN_STATES: Readonly<Record<RunState, string>> = {
  running: 'Training',
  finished: 'Finished',
  cancelled: 'Stopped',
  failed: 'Failed',
  interrupted: 'Interrupted',
};

/** A sentence on a run that is over, or trains elsewhere. `last` is its last row with a loss. */
export function describeEnd({ state, totalSteps }: RunRecord, last: LogRow | undefined): string {
  if (totalSteps === 0) return 'The run never began.';
  const at = last ? ` at step ${last.step}, with a loss of ${formatLoss(last.loss)}` : ' before its first step';
  if (state === 'finished') return `The run is finished${last ? `, with a loss of ${formatLoss(last.loss)}` : ''}.`;
  if (state === 'failed') return `The run stopped with an error${at}.`;
  if (state === 'running') return 'The run is training in another tab.';
  return `The run was ${state === 'cancelled' ? 'stopped' : 'interrupted'}${at}.`;
}
