import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { LogRow, TrainEvent } from '../../../src/core/events';
import { RunLibrary, type Database } from '../../../src/storage/indexeddb';
import { Diary } from '../../../workers/runs/diary';
import { freshDatabase } from '../../support/browser-storage';
import { expectError } from '../recipes/support';
import { runRecord } from '../storage/support';

let database: Database;
let library: RunLibrary;
beforeEach(async () => {
  database = await freshDatabase();
  library = new RunLibrary(database);
  await library.put(runRecord('r', { state: 'finished' }));
});

const row = (step: number): LogRow => ({ epoch: step / 10, step, loss: 1 / step });
const step = (at: number): TrainEvent => ({
  kind: 'step',
  row: row(at),
  tokensPerSecond: 1,
  secondsLeft: 1,
  totalSteps: 9,
});
const plan: TrainEvent = {
  kind: 'plan',
  dispatches: { train: 1, update: 1, evaluate: 1 },
  totalBytes: 1,
  bytes: {},
  totalSteps: 9,
  trainableParameters: 1,
  totalParameters: 1,
};
const checkpoint = (at: number): TrainEvent => ({ kind: 'checkpoint', step: at });

/** Lets writes of the log fail while `refusing`. */
function refusals() {
  const original = library.addToLog.bind(library);
  const state = { refusing: false, written: [] as number[] };
  vi.spyOn(library, 'addToLog').mockImplementation(async (id, from, rows, change) => {
    if (!state.refusing) {
      state.written.push(rows.length);
      return original(id, from, rows, change);
    }
    // As a full disk does: the transaction is refused by the database, and nothing of it is kept.
    return original(id, from, [Symbol('not clonable') as never], change);
  });
  return state;
}

describe('a diary', () => {
  it('loses nothing of what a failed write held', async () => {
    const writes = refusals();
    const diary = new Diary(library, runRecord('r'), []);
    writes.refusing = true;
    diary.note(plan);
    for (const at of [1, 2]) diary.note(step(at));
    diary.note(checkpoint(2));
    diary.note(step(3));
    await expectError(() => diary.close({}), 'storage', /could not save the log/);
    expect(await library.get('r')).toMatchObject({ step: 0, totalSteps: 0, checkpointStep: 0 });
    writes.refusing = false;
    diary.note(step(4));
    await diary.close({ state: 'cancelled' });
    expect(await library.get('r')).toMatchObject({ state: 'cancelled', step: 4, totalSteps: 9, checkpointStep: 2 });
    expect(await library.log('r')).toEqual([1, 2, 3, 4].map(row));
  });

  it('writes the rows that came since, and not the whole log', async () => {
    const writes = refusals();
    const diary = new Diary(library, runRecord('r'), []);
    for (let at = 1; at <= 30; at++) {
      diary.note(step(at));
      if (at % 10 === 0) {
        diary.note(checkpoint(at));
        await vi.waitFor(async () => expect((await library.get('r')).checkpointStep).toBe(at));
      }
    }
    await diary.close({});
    expect(writes.written).toEqual([10, 10, 10, 0]);
    expect(await library.log('r')).toHaveLength(30);
  });

  it('goes back to where a run goes on, whatever is being written', async () => {
    const first = new Diary(library, runRecord('r'), []);
    for (const at of [1, 2, 3, 4]) first.note(step(at));
    await first.close({});
    await database.put('logRows', 'damaged' as never, ['r', 0]);
    const diary = new Diary(library, runRecord('r'), await library.log('r'));
    diary.note(step(5));
    diary.note(checkpoint(5)); // being written when the run goes back
    diary.note({ kind: 'resumed', step: 3 });
    diary.note(step(4));
    await diary.close({});
    expect((await library.log('r')).map((found) => found.step)).toEqual([2, 3, 4]);
    expect(await library.get('r')).toMatchObject({ step: 4, checkpointStep: 3 });
  });

  it('of a run that was deleted meanwhile says so', async () => {
    const diary = new Diary(library, runRecord('r'), []);
    await library.delete('r');
    await expectError(() => diary.close({}), 'not-found', /was deleted/);
    expect(await database.count('logRows')).toBe(0);
  });
});
