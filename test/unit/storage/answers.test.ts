/** Conversations and evaluations that the browser keeps: what comes back, and what doesn't outlive its run. */
import { beforeEach, describe, expect, it } from 'vitest';
import { chatOfRun, type ComparedQuestion, type Turn } from '../../../src/core/answers';
import { ChatStore, EvaluationStore, RunLibrary, type Database } from '../../../src/storage/indexeddb';
import { freshDatabase } from '../../support/browser-storage';
import { expectError } from '../recipes/support';
import { runRecord } from './support';

let database: Database;
beforeEach(async () => {
  database = await freshDatabase();
  await new RunLibrary(database).put(runRecord('r'));
});

const chat = chatOfRun('r');
const reply = { text: 'Hi.', promptTokens: 3, newTokens: 2, tokensPerSecond: 9.5, finish: 'end-of-turn' } as const;

describe('a conversation', () => {
  it('comes back as it was kept last, turn by turn, and each by itself', async () => {
    const chats = new ChatStore(database);
    const first: Turn = { question: 'one', step: 3, base: { text: 'Hi.', state: 'done', reply } };
    await chats.keepTurn(chat, 0, { question: 'one', base: { text: 'H', state: 'writing' } });
    await chats.keepTurn(chat, 0, first);
    for (let i = 1; i < 12; i++) await chats.keepTurn(chat, i, { question: `turn ${i}` });
    await chats.keepHead(chat, { system: 'Be brief.', asksAlone: false });
    await chats.keepTurn('model/starter', 0, { question: 'another' });
    const found = await chats.read(chat);
    expect([found.system, found.asksAlone]).toEqual(['Be brief.', false]);
    expect(found.turns[0]).toEqual(first);
    expect(found.turns.map(({ question }) => question).slice(1)).toEqual(
      Array.from({ length: 11 }, (_, i) => `turn ${i + 1}`),
    );
    await chats.clear(chat);
    expect(await chats.read(chat)).toEqual({ system: 'Be brief.', asksAlone: false, turns: [] });
    expect((await chats.read('model/starter')).turns).toHaveLength(1);
  });

  it('has a place for a turn that is damaged, and says so', async () => {
    const chats = new ChatStore(database);
    await database.put('chatTurns', { question: 5 } as unknown as Turn, [chat, 0]);
    await chats.keepTurn(chat, 1, { question: 'two' });
    const { turns } = await chats.read(chat);
    expect(turns.map(({ question }) => question)).toEqual([expect.stringContaining('damaged'), 'two']);
  });

  it('is not kept of a run that was deleted meanwhile, and its evaluation neither', async () => {
    const chats = new ChatStore(database);
    const evaluations = new EvaluationStore(database);
    await evaluations.begin('r', { total: 2, step: 1 });
    await new RunLibrary(database).delete('r');
    await expectError(() => chats.keepTurn(chat, 0, { question: 'one' }), 'not-found', /was deleted/);
    await expectError(() => evaluations.begin('r', { total: 2, step: 1 }), 'not-found', /was deleted/);
    await evaluations.keepRow('r', 0, { question: 'q', expected: 'a', heldOut: true });
    expect(await database.count('chatTurns')).toBe(0);
    expect(await database.count('evaluationRows')).toBe(0);
  });
});

it('an evaluation comes back with what was answered so far, and gives way to the next one', async () => {
  const evaluations = new EvaluationStore(database);
  expect(await evaluations.read('r')).toBeUndefined();
  await evaluations.begin('r', { total: 2, step: 7 });
  const row: ComparedQuestion = { question: 'q', expected: 'a', heldOut: true };
  await evaluations.keepRow('r', 0, row);
  const answered = { ...row, base: { answer: 'b', exactMatch: false, f1: 0 } };
  await evaluations.keepRow('r', 0, answered);
  await database.put('evaluationRows', { question: 'broken' } as unknown as ComparedQuestion, ['r', 1]);
  expect(await evaluations.read('r')).toEqual({ total: 2, step: 7, rows: [answered] });
  await evaluations.begin('r', { total: 1, step: 9 });
  expect(await evaluations.read('r')).toEqual({ total: 1, step: 9, rows: [] });
});
