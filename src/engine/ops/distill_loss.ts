/** Divergence of a student from a teacher over the teacher's likeliest tokens, as TRL's distillation trainers compute it. */
import type { Graph, Op, Tensor } from '../graph/graph';
import { f32, gridFor, u32 } from '../graph/kernel';
import { shader } from '../graph/shaders';
import { scaleBy } from './dot';
import { reduceModule } from './modules';
import { matrix, sameShape } from './shape';

const distillShader = shader('objectives/distill');
const sumShader = shader('sums/sum');

export interface Divergence {
  /** 0 is KL(teacher ‖ student), 1 KL(student ‖ teacher), between them their generalised Jensen-Shannon divergence. */
  readonly beta: number;
  /** Both are softened by it before they are renormalised; 1 where there is a tail. */
  readonly temperature: number;
  /** All other tokens are one more class, of what is left of either; without it both are renormalised over the targets. */
  readonly tail: boolean;
}

/** Outputs: the loss, that of each row, and the gradient of the loss by each log-probability. */
const distillLossOp: Op<Divergence> = {
  name: 'distillLoss',
  outputs([student, targets, teacher], { temperature, tail }) {
    const [rows] = matrix('distillLoss', student!);
    sameShape('distillLoss teacher', student!, teacher!);
    if (targets!.shape.join() !== student!.shape.join()) throw new Error('distillLoss: targets of another shape');
    if (tail && temperature !== 1) throw new Error('distillLoss: what is left of a softened distribution is not known');
    return [[1], [rows], student!.shape].map((shape) => ({ shape, dtype: 'f32' }));
  },
  kernels({ inputs, outputs: [loss, rowLosses, gradient], attrs }, capabilities) {
    const [rows, perRow] = matrix('distillLoss', inputs[0]!);
    return [
      {
        shader: distillShader,
        params: [u32(rows), u32(perRow), f32(attrs.beta), f32(1 / attrs.temperature), u32(attrs.tail ? 1 : 0)],
        bindings: [...inputs, rowLosses, gradient],
        workgroups: gridFor(rows),
        flops: 120 * rows * perRow,
      },
      {
        shader: sumShader,
        modules: [reduceModule(capabilities)],
        params: [u32(rows)],
        bindings: [rowLosses, loss],
        workgroups: [1, 1, 1],
        flops: rows,
      },
    ];
  },
  backward({ graph, outputs: [, , gradient], dOutputs: [dLoss, ...others] }) {
    if (!dLoss || others.some((other) => other)) throw new Error('distillLoss: only the loss has a gradient');
    return [scaleBy(graph, gradient!, dLoss)];
  },
};

/**
 * The sum over rows of the divergence between log-probabilities of a student and a teacher, f32 [N, K] each, of the tokens
 * `targets`, i32 [N, K], none where negative: f32 [1].
 */
export function distillLoss(
  graph: Graph,
  student: Tensor,
  targets: Tensor,
  teacher: Tensor,
  divergence: Divergence,
): Tensor {
  return graph.apply(distillLossOp, [student, targets, teacher], divergence)[0]!;
}
