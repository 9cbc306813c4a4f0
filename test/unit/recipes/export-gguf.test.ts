/** The recipe of GGUF files; what is in them is gguf-write.test.ts's matter. */
import { describe, expect, it } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import type { FileSource } from '../../../src/core/store';
import { openModel } from '../../../src/formats/model';
import { memorySource } from '../../../src/formats/sources';
import { exportGguf } from '../../../src/recipes';
import { CollectedFiles } from '../../../workers/runs/collected';
import { expectError, MemoryStore, tinyModel } from './support';

const silent = () => undefined;

describe('a GGUF export', () => {
  it('says its size, and what llama.cpp will not know of the model', async () => {
    const modelFiles = await tinyModel();
    const store = new CollectedFiles();
    const model = await openModel(modelFiles);
    const { size, notices } = await exportGguf({ model, modelFiles, store, file: 'm.gguf', type: 'Q8_0' }, silent);
    const { blob } = store.files()[0]!;
    expect(blob.size).toBe(size);
    expect(notices).toEqual(['tiny has no tokenizer.json: the file has no tokenizer.']);
    const written = new Uint8Array(await blob.arrayBuffer());
    expect((await openModel(memorySource('alone', { 'm.gguf': written }))).spec).toEqual(model.spec);
  });

  it('goes to a store in pieces, none of which is the file', async () => {
    const modelFiles = await tinyModel();
    const model = await openModel(modelFiles);
    const store = new MemoryStore();
    let largest = 0;
    const streaming = Object.assign(store, {
      writePieces: async (_file: string, pieces: AsyncIterable<Uint8Array>) => {
        for await (const piece of pieces) largest = Math.max(largest, piece.byteLength);
      },
    });
    const { size } = await exportGguf({ model, modelFiles, store: streaming, file: 'm.gguf', type: 'F16' }, silent);
    expect(largest).toBeLessThan(size / 4);
  });

  it.each([
    ['its weights end early', 'storage', /disk is gone/],
    ['it is cancelled', 'cancelled', /./],
  ] as const)('leaves no file where %s', async (_what, code, message) => {
    const base = await tinyModel();
    const controller = new AbortController();
    const cut: FileSource = {
      ...base,
      read: async (file, start = 0, end?) => {
        if (file === 'model.safetensors' && start > 9_000) {
          if (code === 'cancelled') controller.abort();
          else throw new GraftError('storage', 'The disk is gone.');
        }
        return base.read(file, start, end);
      },
    };
    const store = new MemoryStore();
    const model = await openModel(cut);
    const input = { model, modelFiles: cut, store, file: 'm.gguf', type: 'F32' } as const;
    await expectError(() => exportGguf(input, silent, controller.signal), code, message);
    expect([...store.files.keys()]).toEqual([]);
  });
});
