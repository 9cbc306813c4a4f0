import { readFileSync, readdirSync } from 'node:fs';
import fc from 'fast-check';
import { SafeTensor } from 'safetensors';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import type { WeightTensor } from '../../../src/core/weights';
import {
  readAll,
  readHeader,
  readTensorBytes,
  streamEntries,
  writeSafetensors,
} from '../../../src/formats/safetensors';
import { hasReference, reference } from '../../support/reference';
import { expectError, files, folder } from './support';

const f32 = (name: string, shape: number[], values: number[]): WeightTensor => ({
  name,
  dtype: 'f32',
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

function file(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array {
  const encoded = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + encoded.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(encoded.length), true);
  bytes.set(encoded, 8);
  return bytes;
}

const A = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';

describe.skipIf(!hasReference)('safetensors cases of the reference', () => {
  const verdicts = hasReference
    ? (JSON.parse(
        readFileSync(reference('golden', 'safetensors_cases', 'verdicts_safetensors_0.8.0.json'), 'utf8'),
      ) as Record<string, string>)
    : {};
  it.each(Object.entries(verdicts))('%s: %s', async (name, verdict) => {
    const source = folder(reference('golden', 'safetensors_cases'));
    const read = readHeader(source, `${name}.safetensors`);
    if (verdict.startsWith('accepted')) {
      expect((await read).tensors.map((tensor) => tensor.name).join(' ')).toBe(verdict.slice('accepted '.length));
    } else {
      expect(errorCode(await read.catch((error: unknown) => error))).toBe('bad-file');
    }
  });

  it('writes what PEFT wrote, byte for byte', async () => {
    for (const name of readdirSync(reference('golden', 'adapters'))) {
      const path = reference('golden', 'adapters', name, 'adapter_final');
      const source = folder(path);
      const { metadata } = await readHeader(source, 'adapter_model.safetensors');
      const written = writeSafetensors(
        await readAll(source, 'adapter_model.safetensors'),
        Object.fromEntries(metadata),
      );
      expect(Buffer.compare(written, readFileSync(`${path}/adapter_model.safetensors`)), name).toBe(0);
    }
  });
});

describe('readHeader', () => {
  // Verdicts of safetensors 0.8.0, asked once.
  it.each([
    ['a fraction for a size', A.replace('[1]', '[1.0]'), /negative or fractional/],
    ['an exponent for a size', A.replace('[1]', '[1e0]'), /negative or fractional/],
    ['minus zero', A.replace('[0,4]', '[-0,4]'), /negative or fractional/],
    ['three offsets', A.replace('[0,4]', '[0,4,5]'), /data_offsets/],
    ['half a byte', '{"a":{"dtype":"F4","shape":[7],"data_offsets":[0,4]}}', /whole bytes/],
    ['a lone surrogate', A.replace('"a"', '"a\\ud800"'), /Unicode/],
    ['text after the header', `${A} x`, /not valid JSON/],
    ['a padding of NUL', `${A}\0\0`, /not valid JSON/],
    ['a byte order mark', `\uFEFF${A}`, /start with \{/],
    ['an array', '[]', /start with \{/],
    ['nothing', '', /holds nothing but zeros where it begins, not a safetensors file/],
    ['white space alone', '  \n ', /start with \{/],
  ])('refuses %s', async (_, header, message) => {
    await expectError(
      () => readHeader(files({ 'm.safetensors': file(header, 4) }), 'm.safetensors'),
      'bad-file',
      message,
    );
  });

  it.each([
    ['white space before the brace', ` \n\t\r${A}`],
    ['white space behind the last brace', `${A}   \n`],
    ['null metadata', `{"__metadata__":null,${A.slice(1)}`],
    ['an unknown field', A.replace('[0,4]', '[0,4],"x":"-1.5e3"')],
    ['a tensor called __proto__', A.replace('"a"', '"__proto__"')],
    ['4-bit values that fill bytes', '{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}'],
  ])('accepts %s', async (_, header) => {
    const { tensors } = await readHeader(files({ 'm.safetensors': file(header, 4) }), 'm.safetensors');
    expect(tensors).toHaveLength(1);
    expect(tensors[0]!.end - tensors[0]!.start).toBe(4);
    expect(Object.prototype).not.toHaveProperty('dtype');
  });

  it.each([
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n',
      /Git LFS pointer.*git lfs pull/,
    ],
    ['a sign-in page', '\n<!DOCTYPE html>\n<html lang="en"><head>', /web page.*download it again, signed in/],
    ['a refusal in words', 'Access to model org/name is restricted.', /is text, which begins "Access to model/],
    ['JSON', '{"error": "not found", "code": 404}', /is text, which begins/],
    [
      'a GGUF file',
      Buffer.from('GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0'),
      /is a GGUF file, not a safetensors file: let its name/,
    ],
    ['a zip archive', Buffer.from('PK\x03\x04\0\0\0\0\0\0\0\0'), /zip archive, as PyTorch writes/],
    ['a pickle', Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20]), /Python pickle/],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), /compressed with gzip.*unpack it first/],
    ['nothing', Buffer.alloc(0), /is empty, not a safetensors file: download it again/],
    ['zeros', Buffer.alloc(4096), /nothing but zeros/],
  ])('says that a file is %s', async (_, bytes, message) => {
    const source = files({ 'm.safetensors': bytes });
    await expectError(() => readHeader(source, 'm.safetensors'), 'bad-file', message);
  });

  it('says how much of a cut file is missing, and where', async () => {
    const whole = writeSafetensors([f32('a', [2], [1, 2]), f32('b', [512], new Array<number>(512).fill(1))]);
    const read = (bytes: Uint8Array) => readHeader(files({ 'm.safetensors': bytes }), 'm.safetensors');
    await expectError(
      () => read(whole.subarray(0, whole.length - 1024)),
      'bad-file',
      /ends 1,024 bytes early, within tensor "b"/,
    );
    await expectError(() => read(whole.subarray(0, 20)), 'bad-file', /ends [\d,]+ bytes early, within its header/);
  });

  it('names a file that is not there', async () => {
    await expectError(() => readHeader(files({}), 'm.safetensors'), 'not-found', /no file m\.safetensors/);
  });

  it('answers any bytes with a header or a bad-file error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.json(), fc.string()), fc.nat(64), async (header, dataBytes) => {
        const outcome = await readHeader(files({ f: file(header, dataBytes) }), 'f').catch((error: unknown) =>
          errorCode(error),
        );
        if (typeof outcome !== 'object') expect(outcome).toBe('bad-file');
        else expect(outcome.tensors.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(dataBytes);
      }),
      { numRuns: 300 },
    );
  });
});

describe('reading and writing', () => {
  const tensors: WeightTensor[] = [
    f32('b', [2, 1], [1.5, -2]),
    { name: 'half', dtype: 'f16', shape: [3], bytes: Uint8Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'brain', dtype: 'bf16', shape: [1, 1], bytes: Uint8Array.of(7, 8) },
    f32('a', [], [3]),
    f32('10', [0, 4], []),
  ];

  it('round trips, widest dtype first, then by name, data aligned to eight', async () => {
    const bytes = writeSafetensors(tensors, { format: 'pt' });
    const source = files({ f: bytes });
    const header = await readHeader(source, 'f');
    expect(header.tensors.map(({ name }) => name)).toEqual(['10', 'a', 'b', 'brain', 'half']);
    expect(header.tensors[0]!.start % 8).toBe(0);
    expect([...header.metadata]).toEqual([['format', 'pt']]);
    const read = await readAll(source, 'f');
    expect(new Map(read.map((tensor) => [tensor.name, tensor]))).toEqual(
      new Map(tensors.map((tensor) => [tensor.name, tensor])),
    );
  });

  it('is read by the independent npm reader', () => {
    const reader = new SafeTensor(writeSafetensors(tensors));
    for (const { name, bytes } of tensors) expect([...reader.getTensor(name)]).toEqual([...bytes]);
  });

  it('streams only what is asked for, and refuses a dtype only where it is asked for', async () => {
    const json =
      '{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}';
    const source = files({ f: file(json, 12) });
    const names: string[] = [];
    const header = await readHeader(source, 'f');
    for await (const tensor of streamEntries(source, [header], new Set(['w']))) names.push(tensor.name);
    expect(names).toEqual(['w']);
    await expectError(() => readAll(source, 'f'), 'unsupported', /ids in f is stored as I64/);
    const [ids] = (await readHeader(source, 'f')).tensors;
    expect(await readTensorBytes(source, 'f', ids!)).toEqual(new Uint8Array(8));
  });
});
