import { expect, it } from 'vitest';
import type { DecoderSpec } from '../../../src/core/spec';
import { compareSpecs } from '../../../src/formats/compare-specs';
import { readSpec } from '../../../src/formats/model';
import { folder } from './support';

const SPEC = await readSpec(folder('public/models/starter'));
const differences = (change: Partial<DecoderSpec>) => compareSpecs(SPEC, { ...SPEC, ...change });
const layers = (window: number | undefined, rope: 'global' | 'none' = 'global') =>
  Array.from({ length: SPEC.numLayers }, () => ({ window, rope }));

it('tells what makes another model from what does not', () => {
  expect(differences({})).toEqual({ fields: [], windows: false });
  expect(differences({ family: 'mistral', attentionScale: 0.5 })).toEqual({ fields: [], windows: false });
  expect(differences({ layers: layers(undefined) })).toEqual({ fields: [], windows: false });
  expect(differences({ layers: layers(8) })).toEqual({ fields: [], windows: true });
  expect(differences({ layers: layers(undefined, 'none') })).toEqual({ fields: ['layers'], windows: false });
  expect(differences({ rope: { type: 'default', theta: 1e6 } }).fields).toEqual(['rope']);
  expect(differences({ localRope: { type: 'default', theta: 1e4 } }).fields).toEqual(['localRope']);
  expect(differences({ rmsNormEps: Math.fround(SPEC.rmsNormEps) }).fields).toEqual([]);
  expect(differences({ rmsNormEps: 1e-6, tieWordEmbeddings: false }).fields).toEqual([
    'rmsNormEps',
    'tieWordEmbeddings',
  ]);
});

it("compares Llama 3's rotary scaling by what shows", () => {
  const rope = {
    type: 'llama3',
    theta: 5e5,
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositions: 8192,
  } as const;
  const compare = (change: object) => compareSpecs({ ...SPEC, rope }, { ...SPEC, rope: { ...rope, ...change } }).fields;
  expect(compare({ lowFreqFactor: 2, highFreqFactor: 8, originalMaxPositions: 16_384 })).toEqual([]);
  expect(compare({ factor: 32 })).toEqual(['rope']);
  expect(compare({ originalMaxPositions: 64 })).toEqual(['rope']);
});
