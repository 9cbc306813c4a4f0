/** Models in several GGUF files, as llama.cpp's gguf-split cuts them, against the one file that was cut. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeUtf8, type FileSource } from '../../../src/core/store';
import { hubLayout, openGguf, readGgufHeader } from '../../../src/formats/gguf';
import { firstOfEach, partsOf } from '../../../src/formats/gguf/split';
import { GGML_TYPES } from '../../../src/formats/gguf/types';
import { memorySource } from '../../../src/formats/sources';
import { expectError } from './support';

const WHOLE = new Uint8Array(readFileSync('test/golden/gguf/llama.gguf'));
const ALIGNMENT = 32;
const [U16, I32] = [2, 5];

type Tensors = Awaited<ReturnType<typeof readGgufHeader>>['tensors'];

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
function u64(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}
function text(value: string): Uint8Array {
  const bytes = encodeUtf8(value);
  return Buffer.concat([u64(bytes.byteLength), bytes]);
}
const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const padded = (bytes: Uint8Array) =>
  Buffer.concat([bytes, new Uint8Array(aligned(bytes.byteLength) - bytes.byteLength)]);

/** One file of some tensors of the whole, with its metadata before those of the split where it is the first. */
function part(
  tensors: Tensors,
  [no, count, all]: [number, number, number],
  first?: { entries: number; bytes: Uint8Array },
) {
  const splits = [
    [text('split.no'), u32(U16), Uint16Array.of(no)],
    [text('split.count'), u32(U16), Uint16Array.of(count)],
    [text('split.tensors.count'), u32(I32), Int32Array.of(all)],
  ].flatMap((entry) => entry.map((piece) => new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)));
  let at = 0;
  const infos = tensors.flatMap(({ name, shape, type, start, end }) => {
    const offset = at;
    at += aligned(end - start);
    const code = [...GGML_TYPES].find(([, found]) => found === type)![0];
    return [text(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(code), u64(offset)];
  });
  const head = [encodeUtf8('GGUF'), u32(3), u64(tensors.length), u64(3 + (first?.entries ?? 0))];
  const data = tensors.map(({ start, end }) => padded(WHOLE.slice(start, end)));
  return new Uint8Array(
    Buffer.concat([padded(Buffer.concat([...head, ...(first ? [first.bytes] : []), ...splits, ...infos])), ...data]),
  );
}

const name = (no: number, count = 3) => `tiny-0000${no}-of-0000${count}.gguf`;
let parts: Record<string, Uint8Array>;
let all: number;

beforeAll(async () => {
  const { tensors } = await readGgufHeader(memorySource('whole', { 'm.gguf': WHOLE }), 'm.gguf');
  all = tensors.length;
  const infosStart = Buffer.from(WHOLE).indexOf(text(tensors[0]!.name));
  const entries = Number(new DataView(WHOLE.buffer, WHOLE.byteOffset).getBigUint64(16, true));
  const first = { entries, bytes: WHOLE.slice(24, infosStart) };
  parts = {
    [name(1)]: part(tensors.slice(0, 5), [0, 3, all], first),
    [name(2)]: part(tensors.slice(5, 6), [1, 3, all]),
    [name(3)]: part(tensors.slice(6), [2, 3, all]),
  };
});

async function contents(source: FileSource): Promise<Record<string, Uint8Array>> {
  const files = (await source.list()).sort();
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file, await source.read(file)] as const)));
}

describe('a model in several files', () => {
  it('is the folder that the whole is', async () => {
    const whole = await contents(await hubLayout(memorySource('whole', { 'm.gguf': WHOLE })));
    expect(await contents(await hubLayout(memorySource('split', parts)))).toEqual(whole);
    expect(await contents(await openGguf(memorySource('split', parts), name(2)))).toEqual(whole); // by any of them
  });

  it('is one model among others of a folder', async () => {
    const files = { ...parts, 'other.gguf': WHOLE };
    await expectError(
      () => hubLayout(memorySource('two', files)),
      'not-found',
      /other\.gguf, tiny-00001-of-00003\.gguf\)/,
    );
    const opened = await openGguf(memorySource('two', files), name(1));
    expect(opened.name).toBe(`two/${name(1)}`);
    expect(await opened.list()).not.toContain('other.gguf');
  });

  it.each([
    [
      'a part is missing',
      () => ({ [name(1)]: parts[name(1)]!, [name(3)]: parts[name(3)]! }),
      'not-found',
      /lacks tiny-00002-of-00003\.gguf: a model in 3 files/,
    ],
    [
      'two parts have changed places',
      () => ({ ...parts, [name(2)]: parts[name(3)]!, [name(3)]: parts[name(2)]! }),
      'bad-file',
      /tiny-00002-of-00003\.gguf has split\.no 2 and split\.count 3, where its name says part 2 of 3/,
    ],
    [
      'a part stands under a name of its own',
      () => ({ 'm.gguf': parts[name(1)]! }),
      'bad-file',
      /m\.gguf has split\.no 0 and split\.count 3, where its name says part 1 of 1/,
    ],
    [
      'the whole is named like a part',
      () => ({ ...parts, [name(1)]: WHOLE }),
      'bad-file',
      /split\.count 1, where its name says part 1 of 3/,
    ],
  ] as const)('%s: is refused', async (_what, files, code, message) => {
    await expectError(() => hubLayout(memorySource('split', files())), code, message);
  });

  it('that holds a tensor twice or too few of them is refused', async () => {
    const { tensors } = await readGgufHeader(memorySource('whole', { 'm.gguf': WHOLE }), 'm.gguf');
    const twice = { ...parts, [name(2)]: part(tensors.slice(4, 6), [1, 3, all]) };
    await expectError(
      () => hubLayout(memorySource('twice', twice)),
      'bad-file',
      /tiny-00002.* which another part holds/,
    );
    const few = { ...parts, [name(3)]: part(tensors.slice(7), [2, 3, all]) };
    await expectError(
      () => hubLayout(memorySource('few', few)),
      'bad-file',
      new RegExp(`of ${all} tensors, but its files hold ${all - 1}`),
    );
  });
});

it('names are those of gguf-split alone', () => {
  expect(partsOf('a-00002-of-00003.gguf')).toEqual([
    'a-00001-of-00003.gguf',
    'a-00002-of-00003.gguf',
    'a-00003-of-00003.gguf',
  ]);
  for (const own of [
    'a.gguf',
    'a-2-of-3.gguf',
    'a-00000-of-00003.gguf',
    'a-00004-of-00003.gguf',
    'a-00001-of-00000.gguf',
  ])
    expect(partsOf(own)).toEqual([own]);
  expect(firstOfEach(['a.gguf', 'b-00001-of-00002.gguf', 'b-00002-of-00002.gguf', 'c-00002-of-00002.gguf'])).toEqual([
    'a.gguf',
    'b-00001-of-00002.gguf',
    'c-00002-of-00002.gguf',
  ]);
});
