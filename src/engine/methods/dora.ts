/** DoRA: LoRA whose linears learn the length of each row apart from its direction (Liu et al. 2024, arXiv:2402.09353). */
import { targetedLinears, type DecoderSpec, type LinearSpec, type LoraSpec } from '../../core/spec';
import type { Tensor } from '../graph/graph';
import { accumulate } from '../ops/accumulate';
import { add } from '../ops/add';
import { doraNorm, doraScale, storeDoraNorm } from '../ops/dora';
import { linear } from '../ops/matmul';
import { droppedInput, loraLeaves, methodOnTargets, type AdapterContext } from './lora';
import type { Method, MethodLeaves } from './method';

export function doraMethod(spec: DecoderSpec, lora: LoraSpec): Method {
  const targets = targetedLinears(spec, lora);
  return {
    ...methodOnTargets(spec, lora, adaptedLinear),
    /** Every magnitude starts as ‖W + s·B·A‖. */
    initialize(graph, leaves) {
      for (const target of targets) {
        const norm = doraNorm(graph, ...normOperands(leaves, lora, target));
        // Magnitudes lie in one buffer with A and B, which a kernel can't read and write at once.
        accumulate(graph, norm, magnitudeLeaf(leaves, target));
      }
    },
    derive(graph, leaves) {
      for (const target of targets) {
        storeDoraNorm(graph, ...normOperands(leaves, lora, target), normLeaf(leaves, target));
      }
    },
  };
}

/**
 * LoRA's sum, rescaled row by row to the learned magnitude: y = m / ‖W + s·B·A‖ · (x·Wᵀ + s · (x·Aᵀ)·Bᵀ). With dropout
 * PEFT lets only the base path see the input undropped. `residual` is added to y.
 */
function adaptedLinear(context: AdapterContext, x: Tensor, target: LinearSpec, residual?: Tensor): Tensor {
  const { graph, leaves, lora } = context;
  const weight = leaves.weight(`${target.name}.weight`);
  const { a, b, scaling } = loraLeaves(leaves, lora, target);
  const dropped = droppedInput(context, x, target);
  const magnitude = magnitudeLeaf(leaves, target);
  const base = linear(graph, dropped, weight);
  const direction = linear(graph, linear(graph, dropped, a), b, { alpha: scaling, addend: base });
  const scaled = doraScale(graph, direction, magnitude, normLeaf(leaves, target));
  const sum = residual ? add(graph, scaled, residual) : scaled;
  return dropped === x ? sum : linear(graph, add(graph, x, dropped, -1), weight, { addend: sum });
}

/** W, A, B and s of ‖W + s·B·A‖. */
function normOperands(leaves: MethodLeaves, lora: LoraSpec, target: LinearSpec): [Tensor, Tensor, Tensor, number] {
  const { a, b, scaling } = loraLeaves(leaves, lora, target);
  return [leaves.weight(`${target.name}.weight`), a, b, scaling];
}

/** ‖W + s·B·A‖ by row, [out]. */
function normLeaf(leaves: MethodLeaves, target: LinearSpec): Tensor {
  return leaves.derived(`${target.name}.norm`, [target.outFeatures]);
}

function magnitudeLeaf(leaves: MethodLeaves, target: LinearSpec): Tensor {
  return leaves.adapter(`base_model.model.${target.name}.lora_magnitude_vector`, [target.outFeatures]);
}
