/** Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290), with the sigmoid. */
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, u32 } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { scaleBy } from './dot';
import { reduceModule } from './modules';
import { expectShape } from './shape';

const dpoShader = shader('objectives/dpo');

/** What the metrics are, in their order. */
export const DPO_METRICS = [
  'rewards/chosen',
  'rewards/rejected',
  'rewards/accuracies',
  'rewards/margins',
  'logps/chosen',
  'logps/rejected',
] as const;

/** Outputs: the loss, the metrics, and the gradient of the loss by each log-probability. */
const dpoLossOp: Op<{ readonly beta: number }> = {
  name: 'dpoLoss',
  outputs([logProbs, reference, weights]) {
    const pairs = weights!.shape[0]!;
    expectShape('dpoLoss', logProbs!, [2 * pairs]);
    expectShape('dpoLoss reference', reference!, [2 * pairs]);
    return [[1], [DPO_METRICS.length], [2 * pairs]].map((shape) => ({ shape, dtype: 'f32' }));
  },
  kernels({ inputs, outputs, attrs: { beta } }, capabilities) {
    const pairs = inputs[2]!.shape[0]!;
    return [
      {
        shader: dpoShader,
        modules: [reduceModule(capabilities)],
        params: [u32(pairs), f32(beta)],
        bindings: [...inputs, ...outputs],
        workgroups: [1, 1, 1],
        flops: 60 * pairs,
      },
    ];
  },
  backward({ graph, outputs: [, , gradient], dOutputs: [dLoss, dMetrics] }) {
    if (!dLoss || dMetrics) throw new Error('dpoLoss: only the loss has a gradient');
    return [scaleBy(graph, gradient!, dLoss)];
  },
};

/**
 * The sum over pairs of weight · −log σ(β((c − c_ref) − (r − r_ref))), f32 [1], and the weighted sums of `DPO_METRICS`. Log-
 * probabilities of whole answers and of the reference are f32 [2·P], the chosen answer before the rejected one; weights
 * f32 [P], 0 where there is no pair.
 */
export function dpoLoss(
  graph: Graph,
  logProbs: Tensor,
  reference: Tensor,
  weights: Tensor,
  beta: number,
): { loss: Tensor; metrics: Tensor } {
  const [loss, metrics] = graph.apply(dpoLossOp, [logProbs, reference, weights], { beta });
  return { loss: loss!, metrics: metrics! };
}
