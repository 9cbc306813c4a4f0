/** Whether two specs are one model: what an exported file would compute, against what it was made from. */
import { llama3Table } from './gguf/rope';
import { layerSpec, ropeOf, type DecoderSpec, type RopeKind } from '../core/spec';

/** How two specs differ, by the fields of a spec. */
export interface SpecDifferences {
  /** What makes another model. */
  readonly fields: readonly string[];
  /** Whether layers see other windows, which shows in texts that are longer than those. */
  readonly windows: boolean;
}

/**
 * Their family's name aside, and `attentionScale`, which may be in the weights instead. Numbers are compared as f32 keeps
 * them, and Llama 3's rotary scaling by its table, which different limits may give.
 */
export function compareSpecs(one: DecoderSpec, other: DecoderSpec): SpecDifferences {
  const [a, b] = [comparable(one), comparable(other)];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]);
  const ropes = ROPES.filter(([, kind]) => !sameRope(one, other, kind)).map(([key]) => key);
  return {
    fields: [...keys, ...ropes],
    windows: one.numLayers === other.numLayers && windowsOf(one) !== windowsOf(other),
  };
}

const ROPES = [
  ['rope', 'global'],
  ['localRope', 'local'],
] as const;
const LEFT_OUT = new Set<string>(['family', 'attentionScale', ...ROPES.map(([key]) => key)]);

function comparable(spec: DecoderSpec): Record<string, string | undefined> {
  const fields = Object.entries(spec).filter(([key]) => !LEFT_OUT.has(key));
  const kinds = Array.from({ length: spec.numLayers }, (_, layer) => layerSpec(spec, layer).rope);
  return { ...Object.fromEntries(fields.map(([key, value]) => [key, text(value)])), layers: kinds.join() };
}

/** Tables of scaling that are read back differ in their last digits. */
const TABLE_TOLERANCE = 1e-4;

function sameRope(one: DecoderSpec, other: DecoderSpec, kind: RopeKind): boolean {
  const [a, b] = [ropeOf(one, kind), ropeOf(other, kind)];
  if (a?.type !== 'llama3' || b?.type !== 'llama3') return text(a) === text(b);
  const [own, read] = [llama3Table(a, one.headDim), llama3Table(b, other.headDim)];
  const isNear = (divisor: number, i: number) => Math.abs(divisor - read[i]!) <= TABLE_TOLERANCE * divisor;
  return text(a.theta) === text(b.theta) && own.length === read.length && own.every(isNear);
}

/** JSON with numbers to six digits. */
function text(value: unknown): string | undefined {
  return value === undefined
    ? undefined
    : JSON.stringify(value, (_, part: unknown) => (typeof part === 'number' ? Number(part.toPrecision(6)) : part));
}

function windowsOf(spec: DecoderSpec): string {
  return Array.from({ length: spec.numLayers }, (_, layer) => layerSpec(spec, layer).window ?? 0).join();
}
