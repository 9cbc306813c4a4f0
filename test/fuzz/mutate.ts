/** Ways to break a good file: byte by byte, piece by piece of its text, and value by value of its JSON. */
import type { Random } from './random';

const encoder = new TextEncoder();

/** Bytes that mean something somewhere: ends of ranges, quotes and brackets, what is no UTF-8. */
const BYTES = [0, 1, 0x0a, 0x22, 0x2c, 0x2d, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xc0, 0xed, 0xff];
/** Numbers that sizes and counts trip over. */
const SIZES = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** One to four changes of single bytes, ranges and little-endian numbers. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let result = Uint8Array.from(bytes);
  for (let changes = random.length(4); changes > 0; changes--) result = changeBytes(result, random);
  return result;
}

function changeBytes(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.length + 1);
  const length = random.length(Math.max(1, Math.min(64, bytes.length)));
  const put = (middle: Uint8Array, end: number) => joinBytes(bytes.subarray(0, at), middle, bytes.subarray(end));
  switch (random.below(8)) {
    case 0:
      return put(Uint8Array.of((bytes[at] ?? 0) ^ (1 << random.below(8))), at + 1);
    case 1:
      return put(Uint8Array.of(random.pick(BYTES)), at + 1);
    case 2:
      return put(new Uint8Array(0), at + length);
    case 3:
      return put(bytes.subarray(at, at + length), at);
    case 4:
      return put(
        Uint8Array.from({ length }, () => random.below(256)),
        at + (random.chance(0.5) ? length : 0),
      );
    case 5:
      return bytes.slice(0, at);
    case 6: {
      const width = random.pick([4, 8]);
      const number = new DataView(new ArrayBuffer(8));
      number.setBigUint64(0, random.pick(SIZES), true);
      return put(new Uint8Array(number.buffer, 0, width), at + width);
    }
    default: {
      const from = random.below(bytes.length + 1);
      return put(bytes.subarray(from, from + length), at + length);
    }
  }
}

function joinBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** One to four changes of pieces of a text; `words` are put into it. */
export function mutateText(text: string, random: Random, words: readonly string[]): string {
  let result = text;
  for (let changes = random.length(4); changes > 0; changes--) result = changeText(result, random, words);
  return result;
}

function changeText(text: string, random: Random, words: readonly string[]): string {
  // Pieces are words, runs of spaces, and single marks.
  const pieces = text.match(/[\p{L}\p{N}_]+|\s+|[^]/gu) ?? [''];
  const at = random.below(pieces.length + 1);
  const length = random.length(Math.min(20, pieces.length));
  const put = (middle: string, end: number) => pieces.slice(0, at).join('') + middle + pieces.slice(end).join('');
  switch (random.below(8)) {
    case 0:
      return put('', at + length);
    case 1:
      return put(random.pick(words), at);
    case 2:
      return put(random.pick(words), at + 1);
    case 3:
      return put(pieces.slice(at, at + length).join(''), at);
    case 4:
      return put(
        pieces
          .slice(at, at + length)
          .join('')
          .repeat(random.pick([2, 3, 10, 100])),
        at + length,
      );
    case 5:
      return put(random.pick(words).repeat(random.pick([2, 3, 20, 20, 400, 400, 5000])), at + 1);
    case 6: {
      const other = random.below(pieces.length);
      return put(pieces.slice(other, other + length).join(''), at + length);
    }
    default:
      return pieces.slice(0, at).join('');
  }
}

/** What JSON texts hold that readers don't expect, as it is written. */
export const JSON_VALUES: readonly string[] = [
  ...['null', 'true', 'false', '0', '-0', '-1', '1', '0.5', '1.5', '-1.5', '7', '1e5', '1e999', '-1e999', '1e-320'],
  ...['255', '65536', '2147483647', '2147483648', '4294967296', '9007199254740993', '1e30', '100000000'],
  ...['""', '" "', '"a"', '"\\u0000"', '"\\ud800"', '"__proto__"', '"constructor"', '"toString"', '"1e999"', '"NaN"'],
  ...['[]', '{}', '[[]]', '[null]', '[1, 2]', '[1e999]', '["a"]', '[{}]', '{"__proto__": {"polluted": 1}}', '{"a": 1}'],
  ...['{"constructor": {"prototype": {"polluted": 1}}}', '{"type": "Sequence"}', '{"length": 4294967296}'],
];

/** Text in place of one value of a JSON tree. */
class Raw {
  constructor(readonly text: string) {}
}

type Tree = Raw | null | boolean | number | string | Tree[] | Map<string, Tree>;

/**
 * One to four changes of values, keys and lists of a JSON text, at any depth; `values` (JSON texts) join those that every
 * reader gets. Some results are no JSON any more: bytes are changed too, now and then.
 */
export function mutateJson(json: string, random: Random, values: readonly string[] = []): Uint8Array {
  let tree = toTree(JSON.parse(json));
  for (let changes = random.length(4); changes > 0; changes--) tree = changeTree(tree, random, values);
  const text = encoder.encode(writeTree(tree));
  return random.chance(0.1) ? mutateBytes(text, random) : text;
}

function toTree(value: unknown): Tree {
  if (Array.isArray(value)) return value.map(toTree);
  if (typeof value === 'object' && value !== null)
    return new Map(Object.entries(value).map(([key, item]) => [key, toTree(item)]));
  return value as Tree;
}

function writeTree(tree: Tree): string {
  if (tree instanceof Raw) return tree.text;
  if (Array.isArray(tree)) return `[${tree.map(writeTree).join(',')}]`;
  if (!(tree instanceof Map)) return JSON.stringify(tree);
  return `{${Array.from(tree, ([key, value]) => `${JSON.stringify(key)}:${writeTree(value)}`).join(',')}}`;
}

function changeTree(tree: Tree, random: Random, values: readonly string[]): Tree {
  const inner = Array.isArray(tree) || tree instanceof Map;
  // The deeper, the more values there are: go down as long as it goes, mostly.
  if (!inner || (tree instanceof Map ? tree.size : tree.length) === 0 || random.chance(0.12))
    return changeValue(tree, random, values);
  if (Array.isArray(tree)) {
    const items = [...tree];
    const at = random.below(items.length);
    switch (random.below(8)) {
      case 0:
        items.splice(at, 1);
        return items;
      case 1:
        items.splice(at, 0, items[random.below(items.length)]!);
        return items;
      case 2:
        items.splice(at, 0, nasty(random, values));
        return items;
      default:
        items[at] = changeTree(items[at]!, random, values);
        return items;
    }
  }
  const entries = [...tree];
  const at = random.below(entries.length);
  const [key, value] = entries[at]!;
  switch (random.below(9)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries[at] = [random.pick(['__proto__', 'constructor', '', 'length', `${key}s`, 'toString', '0']), value];
      break;
    case 2: {
      const other = random.below(entries.length);
      [entries[at], entries[other]] = [
        [key, entries[other]![1]],
        [entries[other]![0], value],
      ];
      break;
    }
    case 3:
      entries.push([random.pick(['__proto__', 'hasOwnProperty', 'new_key', 'type']), nasty(random, values)]);
      break;
    default:
      entries[at] = [key, changeTree(value, random, values)];
  }
  return new Map(entries);
}

function changeValue(value: Tree, random: Random, values: readonly string[]): Tree {
  if (typeof value === 'number' && random.chance(0.4)) return changeNumber(value, random);
  if (typeof value === 'string' && random.chance(0.4)) return changeString(value, random);
  return random.chance(0.1) ? nest(value, random) : nasty(random, values);
}

function changeNumber(value: number, random: Random): Tree {
  const factor = random.pick([-1, 0.5, 2, 1.5, 1e6, 1e12]);
  const changed = random.chance(0.5) ? value * factor : value + random.pick([-1, 1, 0.25]);
  return Number.isFinite(changed) ? changed : new Raw('1e999');
}

function changeString(value: string, random: Random): Tree {
  const at = random.below(value.length + 1);
  switch (random.below(4)) {
    case 0:
      return value.slice(0, at);
    case 1:
      return (
        value.slice(0, at) + random.pick(['(', '\0', '\ud800', '{%', '../', '.*', '\n', '😀', ' ']) + value.slice(at)
      );
    case 2:
      return value.slice(0, 1000).repeat(random.pick([2, 50, 3000]));
    default:
      return value.slice(0, at) + value.slice(at + random.length(4));
  }
}

function nasty(random: Random, values: readonly string[]): Raw {
  if (random.chance(0.06)) return nest(null, random);
  if (random.chance(0.04))
    return new Raw(
      `[${Array(random.pick([1000, 50_000]))
        .fill(random.pick(JSON_VALUES))
        .join(',')}]`,
    );
  return new Raw(random.pick(values.length > 0 && random.chance(0.4) ? values : JSON_VALUES));
}

/** A value in many lists or objects, one in the other. */
function nest(value: Tree, random: Random): Raw {
  const depth = random.pick([10, 500, 3000, 10_000, 100_000]);
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
    ['{"type":"Sequence","normalizers":[', ']}'],
  ] as const);
  return new Raw(open.repeat(depth) + writeTree(value) + close.repeat(depth));
}
