/** Nothing is added to the model: its own parameters are trained, or it is only asked. */
import { linear } from '../ops/matmul';
import type { Method } from './method';

export const full: Method = {
  parameters: [],
  replaced: new Map(),
  tokenRows: new Map(),
  tokenIds: new Map(),
  trainsModel: true,
  initialValues: () => new Map(),
  project({ graph, leaves }, x, target, residual) {
    return linear(graph, x, leaves.weight(`${target.name}.weight`), { addend: residual });
  },
};
