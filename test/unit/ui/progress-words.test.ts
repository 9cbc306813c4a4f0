/** What the page says of a run before its first step. */
import { expect, test } from 'vitest';
import { describeProgress } from '../../../src/ui/features/runs/progress-words';

const begun = { stopping: false, progress: undefined, phase: 'Building kernels', warmingUp: true };
const counted = (unit: 'bytes' | 'rows' | 'kernels') => ({ loaded: 1200, total: 2400, rate: undefined, unit });

test('counts what takes long, as it comes', () => {
  expect(describeProgress({ ...begun, progress: counted('kernels') })).toBe('Building kernels: 1,200 of 2,400');
  expect(describeProgress({ ...begun, progress: counted('rows') })).toBe('Reading the data: 1,200 of 2,400 rows');
  expect(describeProgress({ ...begun, progress: counted('bytes') })).toMatch(/^Loading the weights: .*KiB|kB/);
  expect(describeProgress(begun)).toBe('Building kernels: the first step takes longest');
  expect(describeProgress({ ...begun, warmingUp: false, phase: 'Training 3 steps' })).toBe('Training 3 steps');
  expect(describeProgress({ ...begun, stopping: true, progress: counted('rows') })).toMatch(/^Stopping/);
});
