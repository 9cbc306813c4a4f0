import { beforeEach, expect, test, vi } from 'vitest';
import { bindOldToken, forgetSecret, keepSecret, loadSecrets } from '../../../src/ui/features/hub/kept-secrets';

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

test('a secret is kept with the origin that it was given for', () => {
  const secrets = [
    { origin: 'https://huggingface.co', secret: 'hf_one' },
    { origin: 'http://127.0.0.1:8080', secret: 'hf_two' },
  ];
  for (const secret of secrets) expect(keepSecret(secret)).toBe(true);
  expect(loadSecrets()).toEqual(secrets);
  for (const { origin } of secrets) forgetSecret(origin);
  expect([...stored.values()]).toEqual([]);
});

test('what is kept without an origin, or with none that can be, counts as nothing', () => {
  for (const value of [
    '"hf_one"',
    '[{"secret":"hf_one"}]',
    '[{"origin":"https://a.example/x","secret":"s"}]',
    '{',
    '[null]',
  ]) {
    stored.set('graft.secrets', value);
    expect(loadSecrets()).toEqual([]);
  }
});

test('a token of an earlier page goes to the mirror that it was kept beside, and to no other Hub', () => {
  stored.set('graft.hub-token', '"hf_old"');
  expect(bindOldToken('https://mirror.example/hf')).toMatchObject({ dropped: false });
  expect(loadSecrets()).toEqual([{ origin: 'https://mirror.example', secret: 'hf_old' }]);
  expect(stored.has('graft.hub-token')).toBe(false);
});

test('a token of an earlier page that nobody knows the Hub of is deleted', () => {
  stored.set('graft.hub-token', '"hf_old"');
  expect(bindOldToken(null)).toEqual({ dropped: true });
  expect(JSON.stringify([...stored])).not.toContain('hf_old');
  expect(bindOldToken(null)).toEqual({ dropped: false });
});
