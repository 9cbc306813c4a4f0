import { elementCount, type QuantizedDType } from '../../core/dtypes';
import { quantizedLayout } from '../../core/quantization';
import type { Graph, Op, Tensor } from '../graph/graph';
import { gridFor, u32 } from '../graph/kernel';
import { weightBlocks, weightModules } from './modules';
import { shader } from '../graph/shaders';

const nf4Shader = shader('quantize/nf4');
const q8Shader = shader('quantize/q8');
const MAGNITUDE = shader('bits/magnitude');
const SCALE_F32 = shader('quantize/scale_f32');
const SCALE_NESTED = shader('quantize/scale_nested');

/** Elements that a thread quantises: a block of NF4, two of Q8_0. */
export const QUANTIZE_UNIT = 64;

/** Inputs: source (a float type, a chunk of the tensor), chunk [2] (u32: first unit, units), target, and nested scales. */
const quantizeOp: Op = {
  name: 'quantize',
  writes: [2, 3],
  outputs: () => [],
  kernels({ inputs: [source, chunk, target, scales] }, capabilities) {
    const dtype = target!.dtype as QuantizedDType;
    const units = elementCount(source!.shape) / QUANTIZE_UNIT;
    const stores = dtype === 'q8' ? [] : [dtype === 'nf4' ? SCALE_F32 : SCALE_NESTED];
    return [
      {
        shader: dtype === 'q8' ? q8Shader : nf4Shader,
        modules: [...weightModules(source!, capabilities), MAGNITUDE, ...stores],
        params: [weightBlocks(source!), u32(quantizedLayout(dtype, target!.shape).blocks)],
        bindings: [source!, chunk!, target!, scales],
        workgroups: gridFor(units),
        flops: 40 * elementCount(source!.shape),
      },
    ];
  },
};

/**
 * Writes a chunk of a weight tensor into `target`, quantised to its type. `chunk` holds the first unit of 64 elements
 * and their number; `scales` (f32, one a block) takes the scales of `nf4_nested`.
 */
export function quantize(graph: Graph, source: Tensor, chunk: Tensor, target: Tensor, scales?: Tensor): void {
  graph.apply(quantizeOp, scales ? [source, chunk, target, scales] : [source, chunk, target], undefined);
}
