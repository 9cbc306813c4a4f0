/** What the library says of a run that fails before its first step. */
import { beforeEach, expect, it, vi } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { GraftError } from '../../../src/core/errors';
import { encodeUtf8 } from '../../../src/core/store';
import { RunLibrary } from '../../../src/storage/indexeddb';
import { readRunConfig, readRunDataset } from '../../../workers/runs/run-files';
import { Training } from '../../../workers/runs/training';
import { freshDatabase } from '../../support/browser-storage';
import { expectError } from '../recipes/support';
import { runRecord } from '../storage/support';

const FULL = 'There is no more room.';
const STARTER = { kind: 'builtin', name: 'starter' } as const;
let library: RunLibrary;
beforeEach(async () => {
  library = new RunLibrary(await freshDatabase());
});

/** Lets writes of one file fail, as on a full disk. */
function refuseWrites(refused: string): void {
  const folder = library.folder.bind(library);
  vi.spyOn(library, 'folder').mockImplementation((id, name) => {
    const store = folder(id, name);
    const write = store.write.bind(store);
    store.write = async (file, bytes) => {
      if (file === refused) throw new GraftError('storage', FULL);
      return write(file, bytes);
    };
    return store;
  });
}

const neverOpened = () => Promise.reject(new Error('the model was opened'));
const { signal } = new AbortController();

it.each(['dataset', 'run.yaml'])(
  'a run whose %s can not be written says why, and leaves nothing behind',
  async (file) => {
    refuseWrites(file);
    const request = {
      model: STARTER,
      dataset: { kind: 'builtin', name: 'd', id: 'd' },
      config: parseRunConfig(''),
    } as unknown as Parameters<Training['start']>[0];
    const dataset = { name: 'd.jsonl', bytes: encodeUtf8('{"text": "a"}\n') };
    const start = () => new Training(library).start(request, dataset, neverOpened, () => undefined, signal);
    await expectError(start, 'storage', /no more room/);
    expect(await library.list()).toEqual([]);
  },
);

it('a run that can not go on without its dataset has failed, and keeps its curve', async () => {
  await library.put(runRecord('r', { state: 'interrupted' }));
  await library.addToLog('r', 0, [{ epoch: 1, step: 1, loss: 2 }]);
  await library.folder('r', 'r').write('run.yaml', encodeUtf8('lora_r: 4\n'));
  const resume = () => new Training(library).resume({ runId: 'r', talk: false }, neverOpened, () => undefined, signal);
  await expectError(resume, 'not-found', /has lost its dataset/);
  expect(await library.get('r')).toMatchObject({ state: 'failed', error: { code: 'not-found' } });
  expect(await library.log('r')).toEqual([{ epoch: 1, step: 1, loss: 2 }]);
});

it('a run that is deleted while it is read was deleted, and has lost nothing', async () => {
  await library.put(runRecord('r'));
  const record = await library.get('r');
  await library.delete('r');
  for (const read of [readRunConfig, readRunDataset])
    await expectError(
      () => read(library, record),
      'not-found',
      /not in this browser: it was deleted, or never was here/,
    );
});
