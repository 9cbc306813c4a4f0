/** What the environment asks a GPU device to go without, to see a run as it is on a lesser adapter. */
import { GraftError } from '../core/errors';
import type { DeviceOptions } from '../recipes';

/**
 * `GRAFT_LIMITS=default` keeps to WebGPU's default limits; `GRAFT_WITHOUT=subgroups,shader-f16` hides features.
 * @throws `bad-config` for another value of `GRAFT_LIMITS`.
 */
export function deviceOptions(environment: NodeJS.ProcessEnv): DeviceOptions {
  const { GRAFT_LIMITS: limits = '', GRAFT_WITHOUT: without = '' } = environment;
  if (!['', 'default'].includes(limits)) {
    throw new GraftError('bad-config', `GRAFT_LIMITS is ${limits}: set it to default, or not at all.`);
  }
  const features = without.split(',').map((name) => name.trim());
  return { defaultLimits: limits === 'default', withoutFeatures: features.filter((name) => name !== '') };
}
