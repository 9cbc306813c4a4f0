import { describe, expect, test } from 'vitest';
import { connectPolicy } from '../../../workers/policy';

const POLICY =
  "default-src 'self'; connect-src 'self' http://127.0.0.1:8080 https://huggingface.co https://*.hf.co; img-src *";

describe("the page's policy", () => {
  test.each([
    ['http://127.0.0.1:8080/org/name', true],
    ['http://127.0.0.1:8081', false],
    ['https://huggingface.co', true],
    ['http://huggingface.co', false],
    ['https://cdn-lfs.hf.co/x', true],
    ['https://a.b.hf.co', true],
    ['https://hf.co', false],
    ['https://evilhf.co', false],
    ['https://hf.co.example', false],
  ])('%s may be asked: %s', (url, allowed) => expect(connectPolicy(POLICY).allows(url)).toBe(allowed));

  test('names the Hub that the page begins with', () => {
    expect(connectPolicy(POLICY).first).toBe('http://127.0.0.1:8080');
    expect(connectPolicy("connect-src 'self' https://*.hf.co https://mirror.example").first).toBe(
      'https://mirror.example',
    );
  });

  test('that is absent allows everything and names nothing', () => {
    expect(connectPolicy('').allows('https://mirror.example')).toBe(true);
    expect(connectPolicy('').first).toBeUndefined();
  });
});
