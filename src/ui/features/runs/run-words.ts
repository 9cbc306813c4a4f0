/** How the page names the states of a run. */
import type { RunState } from '../../../core/library';

export const RUN_STATES: Readonly<Record<RunState, string>> = {
  running: 'Training',
  finished: 'Finished',
  cancelled: 'Stopped',
  failed: 'Failed',
  interrupted: 'Interrupted',
};
