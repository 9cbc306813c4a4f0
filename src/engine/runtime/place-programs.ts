/** Programs by themselves on a device, beside any session. */
import { leafBuffers } from '../compile/layout';
import { planPrograms } from '../compile/plan';
import type { Graph } from '../graph/graph';
import { Memory } from './memory';
import type { Runtime } from './runtime';
import { tune } from './tuner';

/** @param readbackBytes what is read of them at once. @throws `out-of-memory` */
export async function placePrograms(
  runtime: Runtime,
  graphs: ReadonlyMap<string, Graph>,
  readbackBytes: number,
): Promise<Memory> {
  const plan = planPrograms(graphs, runtime.capabilities);
  await tune(runtime, plan);
  return Memory.allocate(runtime, plan, leafBuffers(plan, []), readbackBytes);
}
