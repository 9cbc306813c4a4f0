import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import { jsonFault } from '../../../src/core/json';
import { TEXT_LIMITS } from '../../../src/data/reading/bytes';
import { readRows } from '../../../src/data/rows';

const ROW = '{"instruction": "a", "output": "b"}';
const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const utf8 = (text: string) => new TextEncoder().encode(text);
const utf16 = (text: string, bigEndian = false) => {
  const bytes = new Uint8Array(2 * text.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), !bigEndian);
  return bytes;
};
const read = async (content: string | Uint8Array, limits = {}) =>
  readRows('d.jsonl', typeof content === 'string' ? utf8(content) : content, { limits: { ...TEXT_LIMITS, ...limits } });
const places = async (content: string | Uint8Array, limits = {}) =>
  (await read(content, limits)).rows.map(({ row, where, value }) => [row, where.replace('d.jsonl, ', ''), value['q']]);
const refusal = async (content: string | Uint8Array, limits = {}): Promise<string> => {
  try {
    await read(content, limits);
  } catch (error) {
    expect(errorCode(error)).toBe('bad-data');
    const { message } = error as Error;
    expect(message).toMatch(/^d\.jsonl.*\.$/);
    return message;
  }
  throw new Error('accepted');
};

describe('shapes of files', () => {
  const lines = [
    [1, 'line 1', 1],
    [2, 'line 3', 2],
  ];
  const rows = [
    [1, 'row 1', 1],
    [2, 'row 2', 2],
  ];
  it.each([
    ['\n', '{"q": 1}\n\n{"q": 2}\n', lines],
    ['\\r\\n', '{"q": 1}\r\n \r\n{"q": 2}\r\n', lines],
    ['\\r', '{"q": 1}\r\r{"q": 2}', lines],
    ['a byte order mark', '\ufeff{"q": 1}\n\n{"q": 2}', lines],
    ['an array', ' [{"q": 1},\n{"q": 2}]\n', rows],
    ['pretty-printed objects', '{\n "q": 1\n}\n{\n "q": 2, "s": "}\\"{"\n}\n', rows],
    ['objects in one line', '{"q": 1} {"q": 2}', rows],
    ['one pretty-printed object', '{\n "q": 1\n}', rows.slice(0, 1)],
    ['one object', '{"q": 1}', lines.slice(0, 1)],
    ['an object with one list', '{"version": 1, "data": [{"q": 1}, {"q": 2}]}', rows],
    ['an object with one list, pretty-printed', '{\n"data": [\n{"q": 1},\n{"q": 2}]}', rows],
    ['line separators inside texts', '{"q": 1, "s": "\u2028\u2029\u0085"}\n\n{"q": 2}', lines],
  ])('%s', async (_, text, expected) => {
    expect(await places(text)).toEqual(expected);
    expect(await places(new Uint8Array(gzipSync(utf8(text))))).toEqual(expected);
  });

  it('in UTF-16 with a byte order mark', async () => {
    for (const bigEndian of [false, true]) {
      const { rows: found } = await read(utf16(`\ufeff{"q": "ü😀"}\r\n`, bigEndian));
      expect(found.map(({ value }) => value)).toEqual([{ q: 'ü😀' }]);
    }
  });

  it('say which list of an object was read, and what was left', async () => {
    expect((await read('{"version": 1, "meta": {}, "rows": [{"q": 1}]}')).notices).toEqual([
      'The rows of d.jsonl are read from its list rows; version and meta beside it are left out.',
    ]);
    expect(await places('{"train": [{"q": 1}]}')).toEqual([[1, 'row 1', 1]]);
    expect((await read('{"data": [{"q": 1}]}')).notices).toEqual(['The rows of d.jsonl are read from its list data.']);
  });

  it('do not take a row for an object with a list', async () => {
    const rowsOf = async (row: object) => (await read(JSON.stringify(row))).rows.map(({ value }) => value);
    for (const row of [
      { messages: [{ role: 'user', content: 'u' }] },
      { instruction: 'i', output: 'o', tags: [{ a: 1 }] },
      { system: 's', data: [{ q: 1 }] },
    ]) {
      expect(await rowsOf(row)).toEqual([row]);
    }
  });

  it('leave out lines that are no rows, each with its place', async () => {
    const { rows: found, unreadable } = await read(`${ROW}\n7\n{"a": 'b'}\n${ROW},\n[1]\n${ROW}\n{"a": "cut o`);
    expect(found.map(({ row }) => row)).toEqual([1, 6]);
    expect(unreadable).toEqual([
      { row: 2, reason: 'is 7, but a row must be an object with named fields' },
      {
        row: 3,
        reason: 'is not valid JSON at line 3, column 7: single quotes, but JSON wants double quotes',
      },
      { row: 4, reason: 'is not valid JSON at line 4, column 36: a comma after the row, where JSONL has none' },
      { row: 5, reason: 'is [1], but a row must be an object with named fields' },
      { row: 7, reason: 'is not valid JSON at line 7, column 13: it ends too early, inside a text' },
    ]);
  });

  it('keep what a broken first line has after it', async () => {
    for (const first of ['// rows', '{"a": NaN}', '{"a": "b"', "{'a': 1}", '{"a": 1},']) {
      const { rows: found, unreadable } = await read(`${first}\n${ROW}\n${ROW}`);
      expect([found.length, unreadable.map(({ row }) => row)]).toEqual([2, [1]]);
    }
  });

  it('larger than a string may be are read in pieces of whole lines', async () => {
    const text = Array.from({ length: 50 }, (_, i) => `{"q": ${i}, "s": "${'ü'.repeat(i)}"}`).join('\n\n');
    const whole = await places(text);
    expect(whole).toHaveLength(50);
    for (const pieceBytes of [1, 7, 100, 1000]) {
      expect(await places(text, { stringBytes: 200, pieceBytes })).toEqual(whole);
      expect(await places(new Uint8Array(gzipSync(utf8(text))), { stringBytes: 200, pieceBytes })).toEqual(whole);
    }
    expect(await refusal(`[${ROW}]`, { stringBytes: 10, pieceBytes: 5 })).toMatch(/too large .* convert it to JSONL/);
    const { unreadable } = await read(`${ROW}\n{oops\n${ROW}`, { stringBytes: 10, pieceBytes: 5 });
    expect(unreadable).toEqual([{ row: 2, reason: expect.stringMatching(/^is not valid JSON at line 2, column 2/) }]);
  });
});

describe('a file that is something else is told by its content', () => {
  const zip = (inside: string) => latin1(`PK\x03\x04${'\0'.repeat(22)}\x0b\0\0\0${inside}`);
  it.each<[string, Uint8Array]>([
    ['is a Parquet file', latin1('PAR1\x15\x04')],
    ['is an Arrow', latin1('ARROW1\0\0')],
    ['is an Arrow stream', latin1('\xff\xff\xff\xff\x10\x01\0\0')],
    ['is an SQLite database', latin1('SQLite format 3\0\x10\0')],
    ['is an HDF5 file', latin1('\x89HDF\r\n\x1a\n')],
    ['is a NumPy array', latin1('\x93NUMPY\x01\0')],
    ['is an old Office file', latin1('\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1')],
    ['is compressed with zstd', latin1('\x28\xb5\x2f\xfd\x04')],
    ['is compressed with bzip2', latin1('BZh91AY&SY')],
    ['is compressed with xz', latin1('\xfd7zXZ\0\0\x04')],
    ['is a 7z archive', latin1('7z\xbc\xaf\x27\x1c\0\x04')],
    ['is an Excel workbook', zip('xl/workbook.xml')],
    ['is a Word document', zip('word/document.xml')],
    ['is a PyTorch checkpoint', zip('archive/data.pkl')],
    ['is a zip archive', zip('rows.jsonl')],
    ['is a tar archive', latin1(`rows.jsonl${'\0'.repeat(247)}ustar\0`)],
    ['is a Python pickle', latin1('\x80\x04\x95\x10\0')],
    ['is a safetensors file', latin1('\x40\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}')],
    ['is a GGUF file', latin1('GGUF\x03\0\0\0')],
    ['is a PDF', latin1('%PDF-1.7')],
    ['is a PNG image', latin1('\x89PNG\r\n\x1a\n')],
    ['is a JPEG image', latin1('\xff\xd8\xff\xe0\0\x10JFIF')],
    ['is text in UTF-16 without a byte order mark', utf16(ROW)],
    ['is text in UTF-16 without a byte order mark', utf16(ROW, true)],
    ['is text in UTF-32', latin1('\xff\xfe\0\0{\0\0\0')],
    ['is a binary file', latin1('\x01\0\x02\0')],
    ['is compressed, and inside is a Parquet file', new Uint8Array(gzipSync('PAR1'))],
    ['is compressed, and inside is compressed twice', new Uint8Array(gzipSync(gzipSync(ROW)))],
    ['is a Git LFS pointer', utf8('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n')],
    [
      'is a web page (perhaps a page that asks to sign in)',
      utf8('\n<!DOCTYPE html>\n<html><body>Sign in</body></html>'),
    ],
    ['is XML', utf8('<?xml version="1.0"?><rows/>')],
    ['is YAML', utf8('- instruction: a\n  output: b\n')],
    ['is YAML', utf8('---\ninstruction: a\n')],
    ['is Markdown', utf8('# Rows\n\nSome text.')],
    ['is text, but neither JSON nor a table', utf8('Once upon a time there was a model.')],
    ['is empty', utf8('')],
    ['is empty', utf8('\ufeff \n\n')],
    ['has no rows', utf8('[]')],
  ])('%s', async (what, bytes) => {
    expect(await refusal(bytes)).toContain(`d.jsonl ${what}`);
  });

  it('names the first byte that is not UTF-8, and what it looks like', async () => {
    expect(await refusal(latin1(`${ROW}\r\n{"instruction": "caf\xe9"}`))).toBe(
      'd.jsonl is not UTF-8: the byte 0xe9 at line 2, column 21 looks like Latin-1 or Windows-1252. Save it as UTF-8.',
    );
    expect(await refusal(latin1('{"a": "\x93b\x94"}'))).toContain('0x93 at line 1, column 8 looks like Windows-1252');
    expect(await refusal(latin1('{"a": "\xe9\xe8"}'))).toContain('0xe9 at line 1, column 8 is of another encoding');
    expect(await refusal(utf8(`${ROW}\n{"a": "ü`).slice(0, -1))).toContain(
      'ends in the middle of a character (line 2, column 8)',
    );
    const late = latin1(`${`${ROW}\n`.repeat(9)}{"a": "\xe9"}`);
    expect(await refusal(late, { stringBytes: 100, pieceBytes: 50 })).toContain('line 10, column 8');
  });

  it('says that compressed bytes are damaged, cut off, or too many', async () => {
    const packed = new Uint8Array(gzipSync(`${ROW}\n`.repeat(1000)));
    expect(await refusal(packed.slice(0, -20))).toMatch(/compressed with gzip, but damaged or cut off/);
    expect(await refusal(packed.slice(0, 12))).toMatch(/damaged or cut off/);
    const damaged = packed.slice();
    damaged[40]! ^= 0xff;
    expect(await refusal(damaged)).toMatch(/damaged or cut off/);
    expect(await refusal(packed, { unpackedBytes: 5000 })).toMatch(/holds more than 5,000 bytes/);
  });

  it.each([
    ["{'a': 'b'}", 'line 1, column 2: single quotes, but JSON wants double quotes'],
    ['[{"a": NaN}]', 'line 1, column 8: NaN is not JSON'],
    ['[{"a": -Infinity}]', 'line 1, column 8: -Infinity is not JSON'],
    ['[\n{"a": 1,}\n]', 'line 2, column 9: a comma before "}"'],
    ['[\n{"a": 1},\n]', 'line 3, column 1: a comma before "]"'],
    ['[\n{"a": None}]', 'line 2, column 7: None is Python, JSON has null'],
    ['[\r{"a": True}]', 'line 2, column 7: True is Python, JSON has true'],
    ['[\r\n// rows\r\n]', 'line 2, column 1: a comment'],
    ['[{a: 1}]', 'line 1, column 3: the field name "a" has no double quotes'],
    ['[{"a": “b”}]', 'line 1, column 8: curly quotes'],
    ['[{"a": "b"', 'line 1, column 11: it ends too early'],
    ['[{"a": "b', 'line 1, column 10: it ends too early, inside a text'],
    ['[{"a": "b\nc"}]', 'line 1, column 10: a line break inside a text'],
    ['[{"a": "b\tc"}]', 'line 1, column 10: a tab inside a text'],
    ['[{"a": "\\x"}]', 'line 1, column 9: "\\\\x" is not an escape of JSON'],
    ['[{"a": "b" "c": 1}]', 'line 1, column 12: unexpected'],
    ['{\n "a": 1\n}\n{\n "b": nope\n}', 'line 5, column 7: unexpected "nope"'],
    ['{"train": [{}], "test": [{}]}', 'is one object with several lists (train and test)'],
    ['{"data": [{}], "other": [{}]}', 'is one object with several lists (data and other)'],
  ])('%s', async (text, message) => {
    expect(await refusal(text)).toContain(message);
  });
});

describe('jsonFault', () => {
  it('finds its way through a text of many millions of characters', () => {
    const long = JSON.stringify('x\\"'.repeat(1_000_000));
    expect(jsonFault(`{"a": ${long}, "b": NaN}`)).toMatchObject({ line: 1, what: 'NaN is not JSON, write null' });
    expect(jsonFault(`{"a": ${long.slice(0, -1)}`)).toMatchObject({ what: 'it ends too early, inside a text' });
  });
});
