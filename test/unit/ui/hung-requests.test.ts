import { beforeEach, expect, test, vi } from 'vitest';
import { HungRequests } from '../../../src/ui/client/hung-requests';

let stored: Map<string, string>;

beforeEach(() => {
  stored = new Map();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
    removeItem: (key: string) => void stored.delete(key),
  });
  return () => vi.unstubAllGlobals();
});

test('what hung in one tab is refused in all, and what one adds takes nothing from the others', () => {
  const [first, second] = [new HungRequests(), new HungRequests()];
  first.add('a', 'A hung.');
  second.add('b', 'B hung.');
  for (const tab of [first, second, new HungRequests()])
    expect([tab.reasonFor('a'), tab.reasonFor('b'), tab.reasonFor('c')]).toEqual(['A hung.', 'B hung.', undefined]);
  second.clear();
  for (const tab of [first, second]) expect(tab.reasonFor('a')).toBeUndefined();
  expect(stored.size).toBe(0);
});

test('the oldest are forgotten, and a browser that keeps nothing remembers until the page closes', () => {
  const many = new HungRequests();
  for (let i = 0; i < 25; i++) many.add(`${i}`, 'It hung.');
  expect([many.reasonFor('4'), many.reasonFor('5')]).toEqual([undefined, 'It hung.']);
  vi.stubGlobal('localStorage', undefined);
  const alone = new HungRequests();
  alone.add('a', 'A hung.');
  alone.add('b', 'B hung.');
  expect([alone.reasonFor('a'), alone.reasonFor('b')]).toEqual(['A hung.', 'B hung.']);
  alone.clear();
  expect(alone.reasonFor('a')).toBeUndefined();
});
