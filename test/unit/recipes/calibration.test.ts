import { describe, expect, it } from 'vitest';
import { fromFloat32 } from '../../../src/core/dtypes';
import { planInt4 } from '../../../src/formats/int4/plan';
import { calibrationOf, embedSequences } from '../../../src/recipes/steps/calibration';
import { tinySpec } from '../../support/decoder-spec';
import { expectError } from './support';

const row = (length: number, first = 0) => Array.from({ length }, (_, i) => first + i);
const shape = { maxPositions: 64 };

describe('rows to calibrate with', () => {
  it('lie end to end in sequences of one length, cut where one ends', () => {
    const { sequences, length, rows } = calibrationOf([row(40), row(40, 100), row(24, 200)], shape);
    expect([length, rows]).toEqual([48, 3]);
    expect(sequences.map(({ documents }) => documents)).toEqual([
      [40, 8],
      [32, 16],
    ]);
    expect(sequences[1]!.ids).toEqual([...row(32, 108), ...row(16, 200)]);
  });

  it('are taken whole where they are few', () => {
    expect(calibrationOf([row(5), [], row(4)], shape)).toEqual({
      sequences: [{ ids: [...row(5), ...row(4)], documents: [5, 4] }],
      length: 9,
      rows: 3,
    });
  });

  it('are no more than 65,536 tokens, and not none', async () => {
    const { sequences, length, rows } = calibrationOf(
      Array.from({ length: 300 }, () => row(400)),
      { maxPositions: 4096 },
    );
    expect([sequences.length, length, rows]).toEqual([128, 512, 164]);
    await expectError(() => calibrationOf([[]], shape), 'bad-data', /no token to calibrate with/);
  });

  it('become rows of the embedding, scaled as the model does', () => {
    const table = Float32Array.from({ length: 8 }, (_, i) => i);
    const embedding = { name: 'e', dtype: 'bf16', shape: [4, 2], bytes: fromFloat32(table, 'bf16') } as const;
    const calibration = calibrationOf([[3, 1]], shape);
    const [hidden] = embedSequences(calibration, embedding, { embeddingScale: 1.503 });
    // 1.5 is what bf16 makes of the scale.
    expect([...hidden!.hidden]).toEqual([9, 10.5, 3, 4.5]);
  });
});

describe('which linears are packed', () => {
  const spec = { ...tinySpec, hiddenSize: 64, headDim: 16, numHeads: 4, numKeyValueHeads: 4, intermediateSize: 192 };

  it('and in groups of how many columns, follows from their shapes', () => {
    expect(planInt4(spec, 128)).toMatchObject({
      groupSize: 64,
      left: [],
      notices: ["Columns don't divide by 128: groups have 64 of them, in the whole model."],
    });
    expect(planInt4(spec, 32)).toMatchObject({ groupSize: 32, left: [], notices: [] });
    expect(planInt4(spec, -1)).toMatchObject({ groupSize: -1, left: [], notices: [] });
  });

  it('leaves out what no size divides, and refuses a model of which nothing is left', async () => {
    const odd = planInt4({ ...spec, intermediateSize: 172 }, 64);
    expect(odd.left).toEqual(['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj']);
    expect(odd.notices).toEqual([
      expect.stringMatching(/mlp\.down_proj \(172 columns\) can't be packed in groups of 64 and stay/),
    ]);
    const none = { ...spec, hiddenSize: 20, headDim: 5, intermediateSize: 28 };
    await expectError(() => planInt4(none, 128), 'unsupported', /it can't be packed in 4 bits\. Export it as GGUF/);
  });
});
