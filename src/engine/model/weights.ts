/** How the base weights of a session are kept on the GPU, and the programs that quantise them as they stream in. */
import { elementCount, type FloatDType, type WeightDType } from '../../core/dtypes';
import { canQuantize, quantizedLayout } from '../../core/quantization';
import { layerLinears, parameters, type DecoderSpec, type ParameterSpec } from '../../core/spec';
import { Graph } from '../graph';
import { quantize, QUANTIZE_UNIT } from '../ops/quantize';
import { isQuantized } from '../tensor';
import type { Quantization } from '../types';

/** What decides how a parameter is stored. */
export interface StorageOptions {
  readonly spec: DecoderSpec;
  readonly weightDType: FloatDType;
  readonly quantization?: Quantization | undefined;
  /** `adapter` trains the adapter, `all` every parameter, `none` nothing (decoding). */
  readonly trainable: 'adapter' | 'all' | 'none';
}

/** Names of the leaves that quantising goes through. */
export const QUANTIZE_LEAF = { source: 'quantize-source', chunk: 'quantize-chunk', scales: 'quantize-scales' } as const;

/** Most elements that are quantised at once: what is staged stays below 16 MiB. */
const CHUNK_ELEMENTS = 4 * 1024 * 1024;

const EMBEDDINGS = new Set(['model.embed_tokens.weight', 'lm_head.weight']);

/** Element type of every parameter. Norms and biases are small and summed into: they stay f32. Trained weights too. */
export function storedDTypes(options: StorageOptions): Map<string, WeightDType> {
  const { spec, quantization = {} } = options;
  const linears = new Set(
    Array.from({ length: spec.numLayers }, (_, layer) => layerLinears(spec, layer))
      .flat()
      .map(({ name }) => `${name}.weight`),
  );
  const dtypeOf = ({ name, shape }: ParameterSpec): WeightDType => {
    if (shape.length === 1 || options.trainable === 'all') return 'f32';
    const wanted = linears.has(name)
      ? quantization.linears
      : EMBEDDINGS.has(name)
        ? quantization.embeddings
        : undefined;
    return wanted && canQuantize(shape) ? wanted : options.weightDType;
  };
  return new Map(parameters(spec).map((parameter) => [parameter.name, dtypeOf(parameter)]));
}

export const quantizeProgram = (name: string) => `quantize:${name}`;

/** Elements of a chunk: what the session's largest quantised tensor needs, up to the limit; 0 where there is none. */
export function chunkElements(options: StorageOptions): number {
  const sizes = quantizedParameters(options).map(({ shape }) => elementCount(shape));
  return Math.min(CHUNK_ELEMENTS, Math.max(0, ...sizes));
}

/** One program a quantised parameter, by name: it writes a chunk of the parameter. */
export function quantizeGraphs(options: StorageOptions): Map<string, Graph> {
  const dtypes = storedDTypes(options);
  const quantized = quantizedParameters(options);
  const elements = chunkElements(options);
  const nested = quantized.filter(({ name }) => dtypes.get(name) === 'nf4_nested');
  const mostBlocks = Math.max(0, ...nested.map(({ shape }) => quantizedLayout('nf4_nested', shape).blocks));
  return new Map(
    quantized.map(({ name, shape }) => {
      const graph = new Graph();
      const dtype = dtypes.get(name)!;
      const source = graph.leaf(
        QUANTIZE_LEAF.source,
        { shape: [elements / QUANTIZE_UNIT, QUANTIZE_UNIT], dtype: options.weightDType },
        'workspace',
      );
      const chunk = graph.leaf(QUANTIZE_LEAF.chunk, { shape: [2], dtype: 'u32' }, 'workspace');
      const target = graph.leaf(name, { shape, dtype }, 'weights');
      const scales =
        dtype === 'nf4_nested'
          ? graph.leaf(QUANTIZE_LEAF.scales, { shape: [mostBlocks], dtype: 'f32' }, 'workspace')
          : undefined;
      quantize(graph, source, chunk, target, scales);
      return [quantizeProgram(name), graph];
    }),
  );
}

function quantizedParameters(options: StorageOptions): ParameterSpec[] {
  const dtypes = storedDTypes(options);
  return parameters(options.spec).filter(({ name }) => isQuantized(dtypes.get(name)!));
}
