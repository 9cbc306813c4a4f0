/** Flat groups: what shares a buffer, and where in it. */
import { describe, expect, it } from 'vitest';
import { elementCount } from '../../../src/core/dtypes';
import { flatGroups, groupBuffers } from '../../../src/engine/compile/groups';

const decays = (name: string) => !name.endsWith('norm.weight');
const parameters = [
  { name: 'a.weight', shape: [64, 70] },
  { name: 'a.norm.weight', shape: [70] },
  { name: 'b.weight', shape: [64, 64] },
  { name: 'c.weight', shape: [63, 65] },
].map((parameter) => ({ ...parameter, kind: 'adapter' as const, decays: decays(parameter.name) }));

describe('groups with 8-bit moments', () => {
  const groups = flatGroups(parameters, '8bit');
  const buffers = groups.flatMap(groupBuffers);

  it('part what decays from what does not, and tensors under 4096 elements, whose moments stay f32', () => {
    const members = groups.map(({ decay, moments, entries }) => [decay, moments, entries.map(({ name }) => name)]);
    expect(members).toEqual([
      [true, '8bit', ['a.weight', 'b.weight']],
      [false, '32bit', ['a.norm.weight']],
      [true, '32bit', ['c.weight']],
    ]);
  });

  it('start every tensor with a block of its own', () => {
    const [{ entries, bytes }] = groups as [(typeof groups)[0]];
    expect(entries.map(({ offset }) => offset)).toEqual([0, 18 * 1024]); // 4,480 elements are 17.5 blocks of 256
    expect(bytes).toBe((18 + 16) * 1024);
  });

  it('take a byte a moment and 4 for each 256', () => {
    const optimizer = buffers.filter(({ kind }) => kind === 'optimizer').slice(0, 2);
    const elements = (18 + 16) * 256;
    expect(optimizer.map(({ bytes }) => bytes)).toEqual([2 * elements, (2 * elements) / 64]);
  });

  it('lay no two tensors of a buffer over each other, and none past its end', () => {
    for (const { label, bytes, tensors } of buffers) {
      const ranges = tensors.map(({ dtype, shape, offset }) => {
        return [offset, offset + elementCount(shape) * (dtype === 'u8' ? 1 : 4)] as const;
      });
      const sorted = ranges.toSorted(([a], [b]) => a - b);
      sorted.forEach(([, end], i) => expect(end, label).toBeLessThanOrEqual(sorted[i + 1]?.[0] ?? bytes));
      sorted.forEach(([start]) => expect(start % 4, label).toBe(0));
    }
  });

  it('name their tensors after the parameter', () => {
    const names = buffers.flatMap(({ role, tensors }) => (role === 'moments' ? tensors.map(({ name }) => name) : []));
    expect(names.filter((name) => name.startsWith('b.'))).toEqual([
      'b.weight.exp_avg',
      'b.weight.exp_avg_sq',
      'b.weight.exp_avg.absmax',
      'b.weight.exp_avg_sq.absmax',
    ]);
    expect(names.filter((name) => name.startsWith('c.'))).toEqual(['c.weight.exp_avg', 'c.weight.exp_avg_sq']);
  });
});
