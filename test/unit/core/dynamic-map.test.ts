import { describe, expect, test } from 'vitest';
import { dynamicMap } from '../../../src/core/dynamic-map';
import { folder, goldenTensors } from '../../support/folder';
import { hasReference, reference } from '../../support/reference';

describe('the dynamic map', () => {
  test.runIf(hasReference)("equals bitsandbytes' signed one bit for bit", async () => {
    const golden = await goldenTensors(folder(reference('golden')), 'nf4_l0_gate_dq1.safetensors');
    expect([...dynamicMap(true)]).toEqual(Array.from(golden.get('nested_code')!.values));
  });

  test.each([true, false])('ascends through 256 values with 0 and 1 among them, signed %s', (signed) => {
    const map = [...dynamicMap(signed)];
    expect(new Set(map).size).toBe(256);
    expect(map).toEqual(map.toSorted((a, b) => a - b));
    expect(map).toContain(0);
    expect(map.at(-1)).toBe(1);
    expect(map[0]! < 0).toBe(signed);
  });

  test('holds both signs of every value but 0 and 1', () => {
    const map = [...dynamicMap(true)];
    const lonely = map.filter((value) => !map.includes(-value));
    expect(lonely).toEqual([1]);
  });

  test('unsigned has twice the intervals in each power of ten: middles of an even split of [0.1, 1]', () => {
    const map = [...dynamicMap(false)];
    const decade = map.filter((value) => value > 0.1 && value < 1);
    expect(decade).toHaveLength(128);
    decade.forEach((value, i) => expect(value).toBeCloseTo(0.1 + ((i + 0.5) * 0.9) / 128, 6));
    expect(map.filter((value) => value > 0 && value < 1e-6)).toHaveLength(2);
  });
});
