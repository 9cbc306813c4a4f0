/** JSON of strangers: how deep it may be, and what a message shows of it. */
import { describe, expect, it } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import { quote } from '../../../src/core/format';
import { betweenStrings, jsonFault, MAX_JSON_DEPTH, parseJson } from '../../../src/core/json';

const nested = (depth: number, open = '[', close = ']') => open.repeat(depth) + close.repeat(depth);

describe('JSON nested deeply', () => {
  it('is read down to its limit, whatever brackets its strings hold', () => {
    expect(parseJson(nested(MAX_JSON_DEPTH))).toBeDefined();
    expect(parseJson(nested(MAX_JSON_DEPTH + 1))).toBeUndefined();
    expect(parseJson(JSON.stringify({ a: '['.repeat(1000), b: '\\"[' }))).toEqual({ a: '['.repeat(1000), b: '\\"[' });
  });

  it('is refused with the place where it goes too deep', () => {
    expect(jsonFault(`{"a":\n${nested(10_000)}}`)).toEqual({
      line: 2,
      column: MAX_JSON_DEPTH,
      what: 'more than 256 lists and objects lie in one another',
    });
  });

  it('is quoted without going to its end', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = i % 2 ? [deep] : { a: deep };
    expect(quote(deep)).toMatch(/^\[\{"a":\[.{50}…$/);
    expect(quote(Array(1_000_000).fill('x'))).toHaveLength(58);
  });
});

describe('a value in a message', () => {
  it.each([
    [{ a: [1, 'b', null, true], 'c d': {} }, '{"a":[1,"b",null,true],"c d":{}}'],
    [Infinity, 'Infinity'],
    [undefined, 'undefined'],
    ['x'.repeat(100), `"${'x'.repeat(56)}…`],
    ['"\n', '"\\"\\n"'],
  ])('%j is %s', (value, text) => {
    expect(quote(value)).toBe(text);
  });

  it('leaves the message one line, with its end', () => {
    const { message } = new GraftError('bad-data', `a\nb\r\n   c ${'x'.repeat(5000)} do this.`);
    expect(message).toMatch(/^a b c x+…x+ do this\.$/);
    expect(message.length).toBeLessThan(1300);
  });
});

it('finds what stands between strings of 20 million characters', () => {
  const parts = [...betweenStrings(`{"${'\\"'.repeat(10_000_000)}": -1.5, "b": 2}`)];
  expect(parts.join('|')).toBe('{|: -1.5, |: 2}');
});
