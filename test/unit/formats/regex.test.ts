/** Patterns in linear time give what JavaScript's own engine gives, and end where that doesn't. */
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { costOf } from '../../../src/formats/regex/cost';
import { SafeRegExp } from '../../../src/formats/regex';
import { LinearMatcher } from '../../../src/formats/regex/linear';
import { canBeEmpty, parseRegex } from '../../../src/formats/regex/parse';
import { compileProgram } from '../../../src/formats/regex/program';
import { compileRegex } from '../../../src/formats/tokenizer/patterns';
import { expectError } from './support';

/** All matches, as start and end. */
function findAll(source: string, text: string): [number, number][] {
  const matcher = new LinearMatcher(compileProgram(parseRegex(source)!, 'u')!, text);
  const found: [number, number][] = [];
  for (let from = 0; from <= text.length;) {
    const match = matcher.find(from);
    if (!match) break;
    found.push([match.start, match.end]);
    const step = match.end === match.start ? ((text.codePointAt(match.end) ?? 0) > 0xffff ? 2 : 1) : 0;
    from = match.end + step;
  }
  return found;
}

/** The engine's matches, without the empty ones that V8 finds between the two units of a character. */
const native = (source: string, text: string): [number, number][] =>
  Array.from(text.matchAll(new RegExp(source, 'gu')))
    .filter(({ index }) => !/[\ud800-\udbff]/.test(text.charAt(index - 1)) || index === text.length)
    .map((match) => [match.index, match.index + match[0].length]);

const atom = fc.constantFrom('a', 'b', '[ab]', '[^a]', '.', '\\s', '\\p{L}', '😀', '\\w', '\\u{1F600}', '\\.');
const pattern: fc.Arbitrary<string> = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    atom,
    fc.tuple(tie('node'), tie('node')).map((parts) => parts.join('')),
    fc.tuple(tie('node'), tie('node')).map((parts) => `(?:${parts.join('|')})`),
    fc
      .tuple(tie('node'), fc.constantFrom('*', '+', '?', '*?', '+?', '??', '{2}', '{1,3}', '{2,}'))
      .map(([item, sign]) => `(?:${item})${sign}`),
    tie('node').map((item) => `(${item})`),
    fc.tuple(fc.constantFrom('?=', '?!', '?<=', '?<!'), tie('node')).map(([look, item]) => `(${look}${item})`),
    fc.constantFrom('^', '$', '\\b', '\\B'),
  ),
})).node;
const text = fc
  .array(fc.constantFrom('a', 'b', 'ab', ' ', '.', '😀', '\n', 'é', 'aaa'), { maxLength: 12 })
  .map((parts) => parts.join(''));

describe('a pattern in linear time', () => {
  it('matches what the engine matches, place by place', () => {
    let compared = 0;
    fc.assert(
      fc.property(pattern, text, (source, input) => {
        const node = parseRegex(source)!;
        // The engine leaves a loop whose turn is empty in its own way.
        if (!compileProgram(node, 'u') || hasEmptyOptions(source)) return;
        compared++;
        expect(findAll(source, input), source).toEqual(native(source, input));
      }),
      { numRuns: 3000, seed: 11 },
    );
    expect(compared).toBeGreaterThan(1500);
  });

  it.each(patternsOfTokenizers())(
    'is a published one that the engine is trusted with, or the same without it: %s',
    (regex) => {
      const source = compileRegex(regex).source;
      const cost = costOf(parseRegex(source)!);
      expect(cost.nested && cost.refers).toBe(false);
      expect(cost.retries).toBeLessThanOrEqual(1);
      const input = "It's 12345 o'clock:\n\n\n   the TIDE is low  \t(Größe: 3,5) 😀 東京タワー ''ll x_y \r\n ";
      expect(findAll(source, input)).toEqual(native(source, input));
    },
  );

  it.each([
    ['(a+)+$', 40],
    ['(a|a)*b', 40],
    ['(?:a?){30}a{30}', 29],
    ['(\\w+\\s?)*$', 40],
    ['(x+x+)+y', 40],
    ['\\p{Nd}{1,3}(?=(?:\\p{Nd}{3})*\\b)', 20_000],
    ['a*a*a*a*b', 2000],
    ['(?=(a+)+b)a', 40],
  ])('ends soon where the engine would not: %s', (source, length) => {
    for (const letter of ['a', 'x', '7']) {
      const input = `${letter.repeat(length)}!`;
      const found = Array.from(input.matchAll(new SafeRegExp(source, 'gu')), ([match]) => match);
      if (source === '(a+)+$') expect(found).toEqual([]);
    }
    expect('aaa'.match(new SafeRegExp('(a+)+$', 'gu'))).toEqual(['aaa']);
  });

  it.each(['(?<=a+)b', '(?<=^a*)b', '(?<!b.*)c', '(?=a+b)a', '(?=a*)b', '(?!a+b)c'])(
    'takes a condition that may reach far through a long run: %s',
    (source) => {
      const input = 'a'.repeat(300_000);
      expect(input.match(new SafeRegExp(source, 'gu'))).toBeNull();
      expect(`${input}b`.match(new SafeRegExp('(?<=a+)b', 'gu'))).toEqual(['b']);
    },
  );

  it('takes a published pattern through a long run of spaces', () => {
    const regex = compileRegex('\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+|\\S+');
    const input = `${' '.repeat(20_000)}a`;
    expect(input.match(regex)).toEqual([' '.repeat(19_999), ' ', 'a']);
  });

  it.each(['(a+)+\\1', '(?:a*)*b', '(?:(?:a{1000}){1000}){1000}'])(
    'is refused where it can be neither: %s',
    async (source) => {
      await expectError(() => new SafeRegExp(source, 'gu'), 'unsupported', /so that it could take for ever/);
    },
  );
});

/** Whether some repeated part may match nothing, which engines go on from in different ways. */
function hasEmptyOptions(source: string): boolean {
  const walk = (node: unknown): boolean => {
    if (typeof node !== 'object' || node === null) return false;
    const { kind, item } = node as { kind?: string; item?: Parameters<typeof canBeEmpty>[0] };
    if (kind === 'repeat' && item && canBeEmpty(item)) return true;
    return Object.values(node).some(walk);
  };
  return walk(parseRegex(source));
}

function patternsOfTokenizers(): string[] {
  const found = new Set<string>();
  const walk = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    const { Regex: regex } = value as { Regex?: unknown };
    if (typeof regex === 'string') found.add(regex);
    Object.values(value).forEach(walk);
  };
  walk(JSON.parse(readFileSync('test/golden/token_ids.json', 'utf8')));
  return [...found];
}
