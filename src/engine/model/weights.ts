/** How the base weights of a session are kept on the GPU, and the programs that quantise them as they stream in. */
import { elementCount, type FloatDType, type WeightDType } from '../../core/dtypes';
import { canQuantize, quantizedLayout } from '../../core/quantization';
import { allLinears, EMBEDDING, HEAD, parameters, type DecoderSpec, type ParameterSpec } from '../../core/spec';
import { Graph } from '../graph/graph';
import { quantize, QUANTIZE_UNIT } from '../ops/quantize';
import { partsOf } from '../compile/parts';
import { isQuantized } from '../graph/tensor';
import type { Quantization } from '../types';

/** What decides how a parameter is stored. */
export interface StorageOptions {
  readonly spec: DecoderSpec;
  readonly weightDType: FloatDType;
  readonly quantization?: Quantization | undefined;
  /** Whether a parameter is trained, by its name: it is then kept in f32. */
  readonly trains: (parameter: string) => boolean;
  /** The most bytes of a leaf before a table is cut into parts; what every device can bind, where absent. */
  readonly partBytes?: number | undefined;
}

/** Names of the leaves that quantising goes through. */
export const QUANTIZE_LEAF = { source: 'quantize-source', chunk: 'quantize-chunk', scales: 'quantize-scales' } as const;

/** Most elements that are quantised at once: what is staged stays below 16 MiB. */
const CHUNK_ELEMENTS = 4 * 1024 * 1024;

const TABLES = new Set([EMBEDDING, HEAD]);

/** Element type of every parameter. Norms and biases are small and summed into: they stay f32. Trained weights too. */
export function storedDTypes(options: StorageOptions): Map<string, WeightDType> {
  const { spec, quantization = {} } = options;
  const linears = new Set(allLinears(spec).map(({ name }) => `${name}.weight`));
  const dtypeOf = ({ name, shape }: ParameterSpec): WeightDType => {
    if (shape.length === 1 || options.trains(name)) return 'f32';
    const wanted = linears.has(name) ? quantization.linears : TABLES.has(name) ? quantization.embeddings : undefined;
    return wanted && canQuantize(shape) ? wanted : options.weightDType;
  };
  return new Map(parameters(spec).map((parameter) => [parameter.name, dtypeOf(parameter)]));
}

/** The leaves that every parameter is stored in, by its name: one, or the parts of a table. */
export function storedParts(options: StorageOptions): Map<string, readonly ParameterSpec[]> {
  const dtypes = storedDTypes(options);
  return new Map(
    parameters(options.spec).map((parameter) => {
      const { name } = parameter;
      return [name, TABLES.has(name) ? partsOf(parameter, dtypes.get(name)!, options.partBytes) : [parameter]];
    }),
  );
}

/** The leaves of a tensor that a method adds: several where it is the copy of a table that is so large. */
export function methodParts(parameter: ParameterSpec, partBytes?: number): readonly ParameterSpec[] {
  const isTable = [...TABLES].some((table) => parameter.name.endsWith(`.${table}`));
  return isTable ? partsOf(parameter, 'f32', partBytes) : [parameter];
}

/** By the name of a quantised leaf. */
export const quantizeProgram = (name: string) => `quantize:${name}`;

/** Elements of a chunk: what the session's largest quantised leaf needs, up to the limit; 0 where there is none. */
export function chunkElements(options: StorageOptions): number {
  const sizes = quantizedLeaves(options).map(({ shape }) => elementCount(shape));
  const stagedUnits = Math.floor((options.partBytes ?? Infinity) / 4 / QUANTIZE_UNIT);
  return Math.min(CHUNK_ELEMENTS, QUANTIZE_UNIT * stagedUnits, Math.max(0, ...sizes));
}

/** One program a quantised leaf, by name: it writes a chunk of the leaf. */
export function quantizeGraphs(options: StorageOptions): Map<string, Graph> {
  const quantized = quantizedLeaves(options);
  const elements = chunkElements(options);
  const nested = quantized.filter(({ dtype }) => dtype === 'nf4_nested');
  const mostBlocks = Math.max(0, ...nested.map(({ shape }) => quantizedLayout('nf4_nested', shape).blocks));
  return new Map(
    quantized.map(({ name, shape, dtype }) => {
      const graph = new Graph();
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

function quantizedLeaves(options: StorageOptions): (ParameterSpec & { readonly dtype: WeightDType })[] {
  const dtypes = storedDTypes(options);
  return [...storedParts(options)].flatMap(([name, parts]) => {
    const dtype = dtypes.get(name)!;
    return isQuantized(dtype) ? parts.map((part) => ({ ...part, dtype })) : [];
  });
}
