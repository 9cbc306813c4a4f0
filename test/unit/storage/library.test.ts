/** Runs and models that the browser keeps: what reads and deletes them at once, and what comes back damaged. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { freshDatabase } from '../../support/browser-storage';
import { chatOfRun } from '../../../src/core/answers';
import type { StoredModel } from '../../../src/core/library';
import { expectError } from '../recipes/support';
import {
  BrowserFolder,
  ChatStore,
  EvaluationStore,
  KeptModels,
  RunLibrary,
  SettingsStore,
  TabStore,
  type Database,
} from '../../../src/storage/indexeddb';
import { countingSource, runRecord } from './support';

let database: Database;
beforeEach(async () => {
  database = await freshDatabase();
});

const nothing = () => undefined;
const counts = async () =>
  Promise.all((['runs', 'logRows', 'models', 'files', 'shards'] as const).map((table) => database.count(table)));
const ANSWERS = ['chats', 'chatTurns', 'evaluations', 'evaluationRows'] as const;
const answerCounts = async () => Promise.all(ANSWERS.map((table) => database.count(table)));

/** Lets every transaction that deletes from a table fail there, as a tab that dies in the middle does. */
function failDeletionsFrom(table: string) {
  const original = IDBObjectStore.prototype.delete;
  return vi.spyOn(IDBObjectStore.prototype, 'delete').mockImplementation(function (this: IDBObjectStore, key) {
    if (this.name === table) queueMicrotask(() => this.transaction.abort());
    return original.call(this, key);
  });
}

describe('deleting', () => {
  it.each(['models', 'files', 'shards'])('a model that is cut off at its %s leaves it whole', async (table) => {
    const models = new KeptModels(database);
    const { id } = await models.keep(countingSource(300), ['w'], 'print', nothing);
    const dying = failDeletionsFrom(table);
    await expectError(() => models.delete(id), 'storage', /could not delete the model/);
    dying.mockRestore();
    expect((await models.list()).map((model) => model.id)).toEqual([id]);
    expect((await (await models.source(id)).read('w')).byteLength).toBe(300);
    await models.delete(id);
    expect(await counts()).toEqual([0, 0, 0, 0, 0]);
  });

  it.each(['runs', 'logRows', 'files', 'shards', ...ANSWERS])(
    'a run that is cut off at its %s leaves it whole',
    async (table) => {
      const library = new RunLibrary(database);
      await library.put(runRecord('r'));
      await library.addToLog('r', 0, [{ epoch: 1, step: 1 }]);
      await library.folder('r', 'r').write('f', new Uint8Array(10));
      const chats = new ChatStore(database);
      await chats.keepHead(chatOfRun('r'), { system: 'Be brief.' });
      await chats.keepTurn(chatOfRun('r'), 0, { question: 'q' });
      const evaluations = new EvaluationStore(database);
      await evaluations.begin('r', { total: 1, step: 1 });
      await evaluations.keepRow('r', 0, { question: 'q', expected: 'a', heldOut: false });
      const dying = failDeletionsFrom(table);
      await expectError(() => library.delete('r'), 'storage', /could not delete the run/);
      dying.mockRestore();
      expect(await counts()).toEqual([1, 1, 0, 1, 1]);
      expect(await answerCounts()).toEqual([1, 1, 1, 1]);
      await library.delete('r');
      expect(await counts()).toEqual([0, 0, 0, 0, 0]);
      expect(await answerCounts()).toEqual([0, 0, 0, 0]);
    },
  );

  it('what somebody reads is refused with a sentence, and so is reading what is deleted', async () => {
    const models = new KeptModels(database);
    const { id } = await models.keep(countingSource(300), ['w'], 'print', nothing);
    const library = new RunLibrary(database);
    await library.put(runRecord('r'));
    const leases = [await models.lease(id), await models.lease(id), await library.lease('r')];
    await expectError(() => models.delete(id), 'storage', /being read right now, here or in another tab/);
    await expectError(() => library.delete('r'), 'storage', /answering or being read right now/);
    for (const letGo of leases) letGo();
    await vi.waitFor(async () => {
      await models.delete(id);
      await library.delete('r');
    });
    expect(await counts()).toEqual([0, 0, 0, 0, 0]);
  });

  it('a run that trains is refused, and its database stays open', async () => {
    const library = new RunLibrary(database);
    await library.put(runRecord('r'));
    await library.withWriter('r', 'busy', () =>
      expectError(() => library.delete('r'), 'storage', /training in a tab right now/),
    );
  });
});

describe('a file in shards', () => {
  it('is read once a shard, however small the slices', async () => {
    const folder = new BrowserFolder(database, 'models/m', 'm', 100);
    await folder.copy(countingSource(1000), 'w', nothing);
    const source = folder.asSource();
    const gets = vi.spyOn(IDBObjectStore.prototype, 'get');
    for (let start = 0; start < 1000; start += 7) {
      const slice = await source.read('w', start, Math.min(1000, start + 7));
      expect([...slice]).toEqual(Array.from({ length: slice.length }, (_, i) => (start + i) % 251));
    }
    const shards = gets.mock.contexts.filter((table) => (table as IDBObjectStore).name === 'shards');
    gets.mockRestore();
    expect(shards).toHaveLength(10);
  });
});

describe('a file written piece by piece', () => {
  const bytesOf = (size: number, seed: number) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + seed) % 251);

  async function* inPieces(bytes: Uint8Array, sizes: readonly number[], failAt = Infinity) {
    let start = 0;
    for (const size of sizes) {
      if (start >= failAt) throw new Error('cut off');
      yield await Promise.resolve(bytes.subarray(start, start + size));
      start += size;
    }
  }

  const SIZES = [1, 0, 99, 250, 3, 47];
  const TOTAL = 400;

  it('lies in the same shards as one that is written whole, and is read by ranges', async () => {
    const folder = new BrowserFolder(database, 'runs/r', 'r', 100);
    const bytes = bytesOf(TOTAL, 1);
    await folder.write('whole', bytes);
    await folder.writePieces('pieces', inPieces(bytes, SIZES));
    const [whole, pieces] = (await folder.entries()).toSorted((a, b) => b.name.localeCompare(a.name));
    expect(pieces!.shards).toEqual(whole!.shards);
    expect(await folder.read('pieces')).toEqual(bytes);
    expect(await folder.size('pieces')).toBe(TOTAL);
    expect(await folder.readAt('pieces', 95, 305)).toEqual(bytes.slice(95, 305));
    await expect(folder.readAt('none', 0, 1)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('replaces the file with its last shard, and leaves it where the pieces break off', async () => {
    const folder = new BrowserFolder(database, 'runs/r', 'r', 100);
    const [before, after] = [bytesOf(TOTAL, 1), bytesOf(TOTAL, 2)];
    await folder.writePieces('f', inPieces(before, SIZES));
    const broken = folder.writePieces('f', inPieces(after, SIZES, 300));
    await expect(broken).rejects.toThrow('cut off');
    expect(await folder.read('f')).toEqual(before);
    expect(await database.count('shards')).toBe(4);
    await folder.writePieces('f', inPieces(after, SIZES));
    expect(await folder.read('f')).toEqual(after);
    expect(await database.count('shards')).toBe(4);
  });

  it('takes away what a tab that was killed has left of another', async () => {
    const folder = new BrowserFolder(database, 'runs/r', 'r', 100);
    await folder.writePieces('f', inPieces(bytesOf(TOTAL, 1), SIZES));
    await database.put('shards', new Uint8Array(100), ['runs/r', 'a version of no file', 0]);
    await database.put('shards', new Uint8Array(100), ['runs/other', 'a version of another folder', 0]);
    await folder.writePieces('g', inPieces(bytesOf(TOTAL, 2), SIZES));
    expect(await database.count('shards')).toBe(4 + 4 + 1);
    expect(await folder.read('f')).toEqual(bytesOf(TOTAL, 1));
  });
});

describe('a file for a download', () => {
  it('is a blob of its shards, and refused where one is damaged', async () => {
    const folder = new BrowserFolder(database, 'runs/r', 'r', 100);
    await folder.copy(countingSource(1000), 'w', nothing);
    const bytes = new Uint8Array(await (await folder.blob('w'))!.arrayBuffer());
    expect([...bytes]).toEqual(Array.from({ length: 1000 }, (_, i) => i % 251));
    expect(await folder.blob('x')).toBeUndefined();
    const key = (await database.getAllKeys('shards'))[3]!;
    await database.put('shards', new Uint8Array(100), key);
    const again = new BrowserFolder(database, 'runs/r', 'r', 100);
    await expectError(() => again.blob('w'), 'storage', /w of r is damaged .*part 4 of 10/);
  });
});

describe('what is remembered of the page', () => {
  it('comes back, or is forgotten with a sentence where it is damaged', async () => {
    const tabs = new TabStore(database);
    expect(await tabs.dataset({ name: 'a' }, ['a'])).toBeUndefined();
    const rows = { id: '1', name: 'rows.jsonl', content: new Blob(['{}']) };
    await tabs.setDataset({ name: 'a' }, rows);
    expect(await tabs.dataset({ name: 'a' }, ['a'])).toMatchObject({ id: '1', name: 'rows.jsonl' });
    for (const damaged of [{}, 7, { id: 1 }, { ...rows, content: {} }, { ...rows, content: 'other' }, [rows]]) {
      await tabs.setDataset({ name: 'a' }, rows);
      await database.put('workspace', damaged, 'dataset 1');
      await expectError(
        () => tabs.dataset({ name: 'a' }, ['a']),
        'storage',
        /dataset that was open here before is damaged.*open it again/,
      );
      expect(await tabs.dataset({ name: 'a' }, ['a'])).toBeUndefined();
    }
    await database.put('workspace', 'none', 'tabs');
    expect(await tabs.dataset({ name: 'a' }, ['a'])).toBeUndefined();
  });

  it('is each tab’s own; a new one has what the last one had, and of closed ones it is forgotten', async () => {
    const tabs = new TabStore(database);
    const rows = (id: string) => ({ id, name: `${id}.jsonl`, content: new Blob([id]) });
    // Of an earlier version.
    await database.put('workspace', rows('old'), 'dataset');
    await database.put('workspace', { text: 'Q: old' }, 'pasted');
    expect(await tabs.dataset({ name: 'a' }, ['a'])).toMatchObject({ id: 'old' });
    expect(await tabs.pastedText({ name: 'a' })).toEqual({ text: 'Q: old' });

    await tabs.setDataset({ name: 'a' }, rows('one'));
    await tabs.setPastedText({ name: 'a' }, { text: 'Q: one' });
    expect(await tabs.dataset({ name: 'b' }, ['a', 'b'])).toMatchObject({ id: 'one' });
    expect(await tabs.pastedText({ name: 'b' })).toEqual({ text: 'Q: one' });
    await tabs.setPastedText({ name: 'b' }, { text: 'Q: two' });
    await tabs.setDataset({ name: 'b' }, rows('two'));
    await tabs.setPastedText({ name: 'a' }, { text: 'Q: three' });
    expect(await tabs.dataset({ name: 'a' }, ['a', 'b'])).toMatchObject({ id: 'one' });
    expect(await tabs.dataset({ name: 'b' }, ['a', 'b'])).toMatchObject({ id: 'two' });
    expect(await tabs.pastedText({ name: 'b' })).toEqual({ text: 'Q: two' });

    // A duplicate has what the tab has that it was made of.
    expect(await tabs.pastedText({ name: 'c', origin: 'a' })).toEqual({ text: 'Q: three' });
    expect(await tabs.dataset({ name: 'c', origin: 'a' }, ['a', 'b', 'c'])).toMatchObject({ id: 'one' });
    expect(await tabs.dataset({ name: 'd', origin: 'gone' }, ['a', 'd'])).toMatchObject({ id: 'one' });

    await tabs.setDataset({ name: 'd' }, rows('two'));
    for (const name of 'efghijkl') expect(await tabs.dataset({ name }, ['a', name])).toMatchObject({ id: 'two' });
    await tabs.setDataset({ name: 'k' }, rows('three'));
    await tabs.setDataset({ name: 'l' }, rows('three'));
    await tabs.dataset({ name: 'l' }, ['a', 'l']);
    expect(await database.getAllKeys('workspace')).toEqual(
      ['dataset one', 'dataset three', 'dataset two', ...[...'adefghijkl'].map((name) => `pasted ${name}`), 'tabs'], // prettier-ignore
    );
    expect(await tabs.pastedText({ name: 'a' })).toEqual({ text: 'Q: three' });
  });

  it('of kernels counts as nothing where it is damaged, and is replaced', async () => {
    const choices = new SettingsStore(database).kernelChoices();
    await choices.write('card', { 'f32 8': { name: 'tile' } });
    expect(await choices.read('card')).toEqual({ 'f32 8': { name: 'tile' } });
    const row = (await database.get('workspace', 'kernels card')) as { value: object };
    await database.put(
      'workspace',
      { ...row, value: { adapter: 'card', choices: { 'f32 8': { name: 'row' } } } },
      'kernels card',
    );
    expect(await choices.read('card')).toBeUndefined();
    await database.put('workspace', row, 'kernels other');
    expect(await choices.read('other')).toBeUndefined();
    await choices.write('card', { 'f32 8': { name: 'row' } });
    expect(await choices.read('card')).toEqual({ 'f32 8': { name: 'row' } });
  });
});

describe('a damaged row', () => {
  it('of the library still names a run that can be read and deleted', async () => {
    const library = new RunLibrary(database);
    await library.put({ ...runRecord('r'), name: 'mine', summary: 7, step: 'x' } as never);
    await database.put('logRows', 'x' as never, ['r', 0]);
    await database.put('logRows', { epoch: 1, step: 1 }, ['r', 1]);
    expect(await library.list()).toMatchObject([
      { id: 'r', name: 'mine', state: 'failed', error: { code: 'storage' } },
    ]);
    expect(await library.log('r')).toEqual([{ epoch: 1, step: 1 }]);
    expect(await library.update('r', { name: 'other' })).toMatchObject({ name: 'other', step: 0 });
    await library.delete('r');
    expect(await counts()).toEqual([0, 0, 0, 0, 0]);
  });

  it('of a model still names a copy that can be deleted', async () => {
    const models = new KeptModels(database);
    await database.put('models', { id: 'm', name: 5 } as never);
    expect(await models.list()).toMatchObject([{ id: 'm', name: 'A damaged copy of a model', bytes: 0 }]);
    await models.delete('m');
    expect(await models.list()).toEqual([]);
  });

  it('of a file is said, and the file can be written again', async () => {
    const folder = new BrowserFolder(database, 'runs/r', 'r', 100);
    await folder.write('f', new Uint8Array(250));
    const entry = await database.get('files', ['runs/r', 'f']);
    await database.put('files', { ...entry!, shards: [null] } as never);
    await expectError(() => folder.read('f'), 'storage', /^f of r is damaged .*its entry is not what was written/);
    expect([await folder.list(), await folder.entries()]).toEqual([['f'], []]);
    await folder.write('f', new Uint8Array(5));
    expect((await folder.read('f'))!.byteLength).toBe(5);
    expect(await database.count('shards')).toBe(1);
  });
});

describe('a run record', () => {
  const models: StoredModel[] = [
    { kind: 'builtin', name: 'starter' },
    { kind: 'kept', id: 'k', name: 'own' },
    { kind: 'hub', name: 'org/name', revision: 'main', commit: 'c'.repeat(40) },
    { kind: 'hub', name: 'org/name', revision: 'main', commit: null, endpoint: 'http://mirror.example' },
    { kind: 'folder', name: 'disk' },
  ];
  it.each(models)('comes back with its model as it was: %o', async (model) => {
    const library = new RunLibrary(await freshDatabase());
    await library.put({ ...runRecord('r'), model });
    expect((await library.get('r')).model).toEqual(model);
  });
});
