/** Whether two specs are one model: what an exported file would compute, against what it was made from. */
import { layerSpec, ropeOf, type DecoderSpec, type RopeSpec } from '../core/spec';

/** How two specs differ, by the fields of a spec. */
export interface SpecDifferences {
  /** What makes another model. */
  readonly fields: readonly string[];
  /** Whether layers see other windows, which shows in texts that are longer than those. */
  readonly windows: boolean;
}

/**
 * Their family's name aside, and `attentionScale`, which may be in the weights instead. Numbers are compared as f32 keeps
 * them, and Llama 3's rotary scaling by theta and factor, as different limits may give one table.
 */
export function compareSpecs(one: DecoderSpec, other: DecoderSpec): SpecDifferences {
  const [a, b] = [comparable(one), comparable(other)];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return {
    fields: keys.filter((key) => a[key] !== b[key]),
    windows: windowsOf(one) !== windowsOf(other),
  };
}

const LEFT_OUT = new Set(['family', 'attentionScale']);

function comparable(spec: DecoderSpec): Record<string, string | undefined> {
  const fields = Object.entries(spec).filter(([key]) => !LEFT_OUT.has(key));
  const kinds = Array.from({ length: spec.numLayers }, (_, layer) => layerSpec(spec, layer).rope);
  return {
    ...Object.fromEntries(fields.map(([key, value]) => [key, text(value)])),
    layers: kinds.join(),
    rope: ropeText(ropeOf(spec, 'global')),
    localRope: ropeText(ropeOf(spec, 'local')),
  };
}

function ropeText(rope: RopeSpec | undefined): string | undefined {
  return rope?.type === 'llama3' ? text([rope.type, rope.theta, rope.factor, rope.rotaryDim]) : text(rope);
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
