import { describe, expect, it } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import { derivedSource, encodeUtf8, type FileSource } from '../../../src/core/store';
import type { KnownRevision, ModelOpening, OpeningCache } from '../../../src/core/weight-cache';
import { EMBEDDING, HEAD } from '../../../src/core/spec';
import { openModel } from '../../../src/formats/model';
import { readAll, writeSafetensors } from '../../../src/formats/safetensors';
import { openKept, recordReads, replayedSource, resolveKept } from '../../../src/storage/recording';
import { expectError, tinyModel } from '../recipes/support';

class MemoryOpenings implements OpeningCache {
  readonly openings = new Map<string, ModelOpening>();
  readonly revisions = new Map<string, KnownRevision>();
  room = true;

  opening = (model: string) => Promise.resolve(this.openings.get(model));
  keepOpening(model: string, opening: ModelOpening): Promise<void> {
    if (!this.room) return Promise.reject(new GraftError('storage', 'There is no room.'));
    this.openings.set(model, structuredClone(opening));
    return Promise.resolve();
  }
  forgetOpening(model: string): Promise<void> {
    this.openings.delete(model);
    return Promise.resolve();
  }
  revision = (repository: string, revision: string) => Promise.resolve(this.revisions.get(`${repository} ${revision}`));
  keepRevision(repository: string, revision: string, known: KnownRevision): Promise<void> {
    this.revisions.set(`${repository} ${revision}`, known);
    return Promise.resolve();
  }
}

/** A source without a connection. */
function offline(name: string): FileSource {
  const fail = () => Promise.reject(new GraftError('storage', `${name} can't be reached.`));
  return { name, list: fail, size: fail, read: fail };
}

describe('opening a model', () => {
  it('reads again what it read before, without a request', async () => {
    const cache = new MemoryOpenings();
    const first = await openKept(cache, 'tiny@1', await tinyModel(), openModel);
    const kept = cache.openings.get('tiny@1')!;
    expect(kept.reads.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)).toBeLessThan(10_000);
    const second = await openKept(cache, 'tiny@1', offline('tiny'), openModel);
    expect([second.spec, second.weightBytes, second.name]).toEqual([first.spec, first.weightBytes, 'tiny']);
    const weights = second.weights()[Symbol.asyncIterator]();
    await expectError(() => weights.next(), 'storage', /can't be reached/);
  });

  it('keeps what it found in weights, and not the weights', async () => {
    const tiny = await tinyModel();
    const bytes = await tiny.read('model.safetensors');
    const head = (await readAll(tiny, 'model.safetensors')).find(({ name }) => name === EMBEDDING)!;
    for (const change of [0, 1]) {
      const other = { ...head, name: HEAD, bytes: head.bytes.map((byte, i) => (i === 9 ? byte ^ change : byte)) };
      const stored = writeSafetensors([...(await readAll(tiny, 'model.safetensors')), other]);
      const source = derivedSource(tiny, {
        size: (file) => (file === 'model.safetensors' ? Promise.resolve(stored.byteLength) : tiny.size(file)),
        read: (file, ...range) =>
          file === 'model.safetensors' ? Promise.resolve(stored.subarray(...range)) : tiny.read(file, ...range),
      });
      const cache = new MemoryOpenings();
      const first = await openKept(cache, 'tiny@1', source, openModel);
      expect(first.spec.tieWordEmbeddings).toBe(change === 0);
      const kept = cache.openings.get('tiny@1')!;
      expect(kept.reads.reduce((sum, read) => sum + read.bytes.byteLength, 0)).toBeLessThan(bytes.byteLength / 4);
      const second = await openKept(cache, 'tiny@1', offline('tiny'), openModel);
      expect([second.spec, second.notices]).toEqual([first.spec, first.notices]);
    }
  });

  it('keeps nothing where it fails, and opens where it can’t be kept', async () => {
    const cache = new MemoryOpenings();
    await expectError(() => openKept(cache, 'x', offline('x'), openModel), 'storage', /can't be reached/);
    expect(cache.openings.size).toBe(0);
    cache.room = false;
    const said: string[] = [];
    await openKept(cache, 'tiny@1', await tinyModel(), openModel, (message) => said.push(message));
    expect(said).toEqual(['There is no room. tiny will need its connection to open again.']);
  });
});

describe('what was kept of a model', () => {
  const config = (text: string) => ({ file: 'config.json', start: 0, bytes: encodeUtf8(text) });

  it('is forgotten where it doesn’t open any more, and the source is asked again', async () => {
    const cache = new MemoryOpenings();
    const first = await openKept(cache, 'tiny@1', await tinyModel(), openModel);
    const kept = cache.openings.get('tiny@1')!;
    for (const text of ['{"model_type": "ll', '{"model_type": "llamb"}', '{"model_type": "llama"}']) {
      const reads = [config(text), ...kept.reads.filter(({ file }) => file !== 'config.json')];
      const sizes = [
        { file: 'config.json', size: text.length },
        ...kept.sizes.filter(({ file }) => file !== 'config.json'),
      ];
      cache.openings.set('tiny@1', { ...kept, sizes, reads });
      expect((await openKept(cache, 'tiny@1', await tinyModel(), openModel)).spec, text).toEqual(first.spec);
      expect(cache.openings.get('tiny@1')).toEqual(kept);
    }
  });

  it('tells the hashes of its files, which later loads are held against', async () => {
    const cache = new MemoryOpenings();
    const asked: string[] = [];
    const source = derivedSource(await tinyModel(), {
      sha256: (file) => {
        asked.push(file);
        return Promise.resolve(file === 'model.safetensors' ? 'f'.repeat(64) : undefined);
      },
    });
    await openKept(cache, 'tiny@1', source, openModel);
    const kept = cache.openings.get('tiny@1')!;
    expect(kept.hashes).toEqual([{ file: 'model.safetensors', sha256: 'f'.repeat(64) }]);
    expect(asked).toContain('config.json');
    const unverified = await tinyModel();
    const replayed = replayedSource(kept, unverified);
    expect(await replayed.sha256!('model.safetensors')).toBe('f'.repeat(64));
    expect(await replayed.sha256!('config.json')).toBeUndefined();
    const model = await openKept(cache, 'tiny@1', unverified, openModel);
    await expectError(
      async () => {
        for await (const { name } of model.weights()) expect(name).toBeTruthy();
      },
      'bad-file',
      /model\.safetensors of .* is damaged/,
    );
  });
});

describe('recorded reads', () => {
  it('answer parts of what was read, and nothing beyond', async () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
    const live: FileSource = {
      name: 'm',
      list: () => Promise.resolve(['f']),
      size: (file) => Promise.resolve(file === 'f' ? 100 : undefined),
      read: (_, start = 0, end = 100) => Promise.resolve(bytes.slice(start, end)),
    };
    const { source, stop } = recordReads(live);
    await source.list();
    expect([await source.size('f'), await source.size('g')]).toEqual([100, undefined]);
    await source.read('f', 10, 20);
    await source.read('f', 50);
    const opening = await stop();
    await source.read('f', 0, 5); // weights, after the model is open
    expect(opening.reads).toHaveLength(2);

    const replayed = replayedSource(opening, offline('m'));
    expect(await replayed.list()).toEqual(['f']);
    expect([await replayed.size('f'), await replayed.size('g')]).toEqual([100, undefined]);
    expect(await replayed.read('f', 12, 15)).toEqual(Uint8Array.of(12, 13, 14));
    expect(await replayed.read('f', 97)).toEqual(Uint8Array.of(97, 98, 99));
    expect(await replayed.read('f', 60, 62)).toEqual(Uint8Array.of(60, 61));
    for (const [start, end] of [
      [0, 5],
      [15, 25],
      [10, undefined],
    ] as const)
      await expectError(() => replayed.read('f', start, end), 'storage', /can't be reached/);
    await expectError(() => replayed.size('h'), 'storage', /can't be reached/);
  });
});

describe('a revision', () => {
  const fail = (code: 'network' | 'not-found') => () => Promise.reject(new GraftError(code, 'No.'));

  it('is the commit that it last was where there is no connection', async () => {
    const cache = new MemoryOpenings();
    await expectError(() => resolveKept(cache, 'h/m', 'main', fail('network')), 'network', /No/);
    const now = await resolveKept(cache, 'h/m', 'main', () => Promise.resolve('c1'));
    expect(now).toEqual({ commit: 'c1' });
    const later = await resolveKept(cache, 'h/m', 'main', fail('network'));
    expect(later.commit).toBe('c1');
    expect(later.seenAt).toBeGreaterThan(1e12);
    await expectError(() => resolveKept(cache, 'h/m', 'main', fail('not-found')), 'not-found', /No/);
    await expectError(() => resolveKept(cache, 'h/m', 'dev', fail('network')), 'network', /No/);
  });
});
