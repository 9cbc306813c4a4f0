import { expect, test } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { diffSettings } from '../../../src/ui/features/runs/settings-diff';

test('two runs differ in the keys whose values differ, as the run file writes them', () => {
  const before = parseRunConfig('learning_rate: 5.0e-3\nlora_target_modules: [q_proj]\n');
  const after = parseRunConfig(
    'learning_rate: 1.0e-8\nlora_target_modules: [q_proj]\nmax_steps: 6\ndataset: x.jsonl\n',
  );
  expect(diffSettings(before, after).map(({ key, before, after }) => [key, before, after])).toEqual(
    expect.arrayContaining([
      ['learning_rate', '0.005', '1.0e-8'],
      ['dataset', expect.any(String), 'x.jsonl'],
    ]),
  );
  expect(
    diffSettings(before, after)
      .map(({ key }) => key)
      .sort(),
  ).toEqual(['dataset', 'learning_rate', 'max_steps']);
  expect(diffSettings(after, after)).toEqual([]);
});
