/** A session's plan as a device runs it: in dispatches that are short on it. */
import { errorCode } from '../../core/errors';
import { DISPATCH_FLOPS, dispatchFlops, QUICK_FLOPS } from '../ops/cutting';
import { measureRates } from '../runtime/rate';
import type { Runtime } from '../runtime/runtime';
import type { ModelSetup, ViewOptions } from '../types';
import { planSession, type SessionPlan } from './plan-session';

/**
 * Measures how fast the device is, once, before the first session that has a dispatch of which that matters. What is
 * computed is the same as on any other device. Where there is no room to measure there may be some for the session, which
 * is then planned as for a fast one.
 */
export async function planForDevice(runtime: Runtime, setup: ModelSetup, views: ViewOptions): Promise<SessionPlan> {
  const plan = () => planSession(setup, views, runtime.capabilities, runtime.device.partBytes);
  const planned = plan();
  if (runtime.rates || longestDispatch(planned) <= QUICK_FLOPS) return planned;
  try {
    await runtime.learnRates(() => measureRates(runtime));
  } catch (error) {
    if (errorCode(error) === 'out-of-memory') return planned;
    throw error;
  }
  const { products, attention } = runtime.rates!;
  return dispatchFlops(Math.min(products, attention)) < DISPATCH_FLOPS ? plan() : planned;
}

/** In flops. */
function longestDispatch({ programs: { programs } }: SessionPlan): number {
  return programs.reduce((most, { kernels }) => kernels.reduce((sum, { flops }) => Math.max(sum, flops), most), 0);
}
