/** Broken datasets: JSON, JSONL, objects one after another, in UTF-8 and UTF-16, plain and compressed. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parseDataset } from '../../src/data/dataset';
import { fuzzedRows } from '../unit/data/fuzz-rows';
import { fuzz } from './harness';
import { mutateBytes, mutateJson, mutateText } from './mutate';
import type { Random } from './random';

/** Good rows of every format, with and without odd fields. */
const ROWS = fc.sample(fuzzedRows, { numRuns: 400, seed: 7 });
const WORDS = [
  '\n',
  '\r\n',
  '\u2028',
  '{"text": "a"}',
  '[',
  ']',
  '{',
  '}',
  '"',
  '\\',
  ',',
  'NaN',
  "'",
  'a,b\n1,2',
  '\0',
  '\ufeff',
  '<html>',
  '//',
];
const encoder = new TextEncoder();

function rows(random: Random): unknown[] {
  return Array.from({ length: random.length(6) }, () => random.pick(ROWS));
}

function jsonl(random: Random): string {
  return rows(random)
    .map((row) => JSON.stringify(row))
    .join(random.pick(['\n', '\r\n', '\n\n', '\r']));
}

const read = (bytes: Uint8Array) => parseDataset('d.jsonl', bytes, { maxBadRows: 0.5 });

/** Text as a file may hold it. */
function encode(text: string, random: Random): Uint8Array {
  switch (random.below(8)) {
    case 0:
      return Uint8Array.from(Buffer.from(`\ufeff${text}`, 'utf16le'));
    case 1:
      return Uint8Array.from(gzipSync(text));
    case 2:
      return mutateBytes(Uint8Array.from(gzipSync(text)), random);
    default:
      return encoder.encode(text);
  }
}

fuzz('JSON rows', {
  make: (random) => {
    const value = random.chance(0.3)
      ? { name: 'x', data: rows(random) }
      : random.chance(0.3)
        ? rows(random)[0]
        : rows(random);
    const pretty = JSON.stringify(value, null, random.below(3));
    return random.chance(0.2) ? encode(mutateText(pretty, random, WORDS), random) : mutateJson(pretty, random);
  },
  read,
  bytes: (bytes) => bytes,
  readable: 0.1,
});

fuzz('JSONL rows', {
  make: (random) => {
    if (random.chance(0.3)) return encode(mutateText(jsonl(random), random, WORDS), random);
    const lines = rows(random).map((row) => JSON.stringify(row));
    const at = random.below(lines.length);
    lines[at] = new TextDecoder().decode(mutateJson(lines[at]!, random));
    return encode(lines.join('\n'), random);
  },
  read,
  bytes: (bytes) => bytes,
  readable: 0.1,
});

fuzz('pretty objects one after another', {
  make: (random) => {
    const text = rows(random)
      .map((row) => JSON.stringify(row, null, 2))
      .join('\n');
    return encode(random.chance(0.5) ? mutateText(text, random, WORDS) : text.repeat(random.length(3)), random);
  },
  read,
  bytes: (bytes) => bytes,
  readable: 0.1,
});
