import { expect, test } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { nameRun } from '../../../workers/runs/run-name';

type Request = Parameters<typeof nameRun>[0];
const request = (run = '') =>
  ({ model: { name: 'starter' }, dataset: { name: 'faq' }, config: parseRunConfig(run) }) as unknown as Request;
const named = (...names: string[]) => names.map((name) => ({ name }));

test('a run is called by its model and its data, and by which try of them it is', () => {
  expect(nameRun(request(), [])).toBe('starter on faq');
  expect(nameRun(request(), named('starter on faq'))).toBe('starter on faq, 2nd try');
  expect(nameRun(request('max_train_samples: 12'), named('starter on faq'))).toBe('starter on faq, first 12');
});

test.each([
  [2, '3rd'],
  [3, '4th'],
  [10, '11th'],
  [20, '21st'],
  [21, '22nd'],
  [111, '112th'],
])('after try %i comes the %s, whatever was deleted or renamed before', (last, next) => {
  const others = named('mine', 'starter on faq 2', 'starter on faq, first 12', `starter on faq, ${last}th try`);
  expect(nameRun(request(), others)).toBe(`starter on faq, ${next} try`);
});
