/** What a page reads of its past runs, where a file of theirs is damaged. */
import { beforeEach, expect, it } from 'vitest';
import { encodeUtf8 } from '../../../src/core/store';
import { RunLibrary } from '../../../src/storage/indexeddb';
import { readRunConfig, readRunLog } from '../../../workers/runs/run-files';
import { freshDatabase } from '../../support/browser-storage';
import { expectError } from '../recipes/support';
import { runRecord } from '../storage/support';

const ROW = { epoch: 1, step: 1, loss: 2 };
let library: RunLibrary;
beforeEach(async () => {
  library = new RunLibrary(await freshDatabase());
  await library.put(runRecord('r'));
  await library.addToLog('r', 0, [ROW]);
});

it('the curve of a finished run is its own record’s, and the noted one where that is damaged', async () => {
  const folder = library.folder('r', 'r');
  const log = () => readRunLog(library, runRecord('r'));
  expect(await log()).toEqual([ROW]);
  await folder.write('trainer_state.json', encodeUtf8(JSON.stringify({ log_history: [ROW, { ...ROW, step: 2 }, 7] })));
  expect((await log()).map(({ step }) => step)).toEqual([1, 2]);
  for (const damaged of [encodeUtf8('{'), encodeUtf8('null'), encodeUtf8('{"log_history": 5}'), Uint8Array.of(0xff)]) {
    await folder.write('trainer_state.json', damaged);
    expect(await log()).toEqual([ROW]);
  }
});

it('a run file that is no text is refused in a sentence', async () => {
  const config = () => readRunConfig(library, runRecord('r'));
  await expectError(config, 'not-found', /has lost its run file/);
  await library.folder('r', 'r').write('run.yaml', Uint8Array.of(0xff, 0xfe));
  await expectError(config, 'bad-config', /run\.yaml is not UTF-8 text/);
});
