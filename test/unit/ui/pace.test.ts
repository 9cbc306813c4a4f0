import { beforeEach, expect, test, vi } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { countTokens, estimateSeconds, guessSeconds, notePace, paceKey } from '../../../src/ui/features/runs/pace';

beforeEach(() => {
  const kept = new Map<string, string>();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
});

const config = parseRunConfig('per_device_train_batch_size: 4\ngradient_accumulation_steps: 2\n');

test('a run takes as long for a token as the last one like it', () => {
  const tokens = countTokens({ totalTokens: 1000, kept: 50 }, config, 10);
  expect(tokens).toBe(20 * 4 * 2 * 10);
  const key = paceKey('starter', config);
  expect(estimateSeconds(key, tokens)).toBeUndefined();
  notePace(key, tokens, 32);
  expect(estimateSeconds(key, tokens / 2)).toBe(16);
  expect(estimateSeconds(paceKey('other', config), tokens)).toBeUndefined();
});

test('what keeps the model otherwise has a pace of its own, and what was kept badly is none', () => {
  expect(paceKey('m', parseRunConfig('load_in_4bit: true'))).not.toBe(
    paceKey('m', parseRunConfig('load_in_4bit: false')),
  );
  localStorage.setItem('graft.pace-flops', '{"m": "fast"}');
  expect(estimateSeconds('m', 10)).toBeUndefined();
  expect(countTokens({ totalTokens: 0, kept: 0 }, config, 10)).toBe(0);
});

test('before anything has run, more work or a slower GPU makes for a longer guess', () => {
  const guess = guessSeconds(1e12, 1e10);
  expect(guess).toBeGreaterThan(100); // a hundred seconds of products alone
  expect(guessSeconds(2e12, 1e10)).toBeGreaterThan(1.5 * guess);
  expect(guessSeconds(1e12, 2e10)).toBeLessThan(guess);
});
