import { describe, expect, it } from 'vitest';
import { encodeUtf8 } from '../../../src/core/store';
import { describeQuestions, prepareData, questionsOf } from '../../../src/recipes';
import type { Conversation } from '../../../src/core/text';
import { openModel } from '../../../src/formats/model';
import { expectError, run, tinyModel, tokenRows } from './support';

const file = (...rows: object[]) => ({
  name: 'data.jsonl',
  bytes: encodeUtf8(rows.map((row) => JSON.stringify(row)).join('\n')),
});

describe('describeQuestions', () => {
  const single = { question: 'One?', answer: 'Yes.' };
  const follow = [
    { role: 'user', content: 'One?' },
    { role: 'assistant', content: 'Yes.' },
    { role: 'user', content: 'Sure?' },
    { role: 'assistant', content: 'Quite.' },
  ];

  it('tells single questions from conversations, by the first rows of a file of any size', async () => {
    const described = (...rows: object[]) => describeQuestions(file(...rows), undefined);
    expect(await described(single, single)).toEqual({ example: 'One?', asksAlone: true });
    expect(await described(single, { messages: follow })).toEqual({ example: 'One?', asksAlone: false });
    expect(await described({ text: 'Once.' })).toEqual({ example: null, asksAlone: false });
    const long = Array.from({ length: 40 }, () => ({ question: 'Long?', answer: 'y'.repeat(30_000) }));
    expect(await described(...long)).toEqual({ example: 'Long?', asksAlone: true });
    const renamed = { name: 'a.csv', bytes: encodeUtf8('Frage,Antwort\nWer?,Ich\n') };
    expect(await describeQuestions(renamed, { question: 'Frage', answer: 'Antwort' })).toEqual({
      example: 'Wer?',
      asksAlone: true,
    });
    expect(await describeQuestions(renamed, undefined)).toEqual({ example: null, asksAlone: false });
  });
});

describe('questionsOf', () => {
  const options = {};

  it('asks with the conversation up to the last answer, and expects that answer', async () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'One?' },
      { role: 'assistant', content: 'Yes.' },
      { role: 'user', content: 'Two?' },
      { role: 'assistant', content: 'No.' },
    ];
    const [question] = await questionsOf(file({ messages }), options);
    expect(question).toEqual({
      prompt: { kind: 'chat', messages: messages.slice(0, 4) },
      question: 'Two?',
      expected: 'No.',
      heldOut: false,
    });
  });

  it('reads the other formats too, and stops at the limit', async () => {
    const rows = [1, 2, 3].map((n) => ({ question: `q${n}`, answer: `a${n}` }));
    const questions = await questionsOf(file(...rows), { ...options, limit: 2 });
    expect(questions.map(({ question, expected }) => [question, expected])).toEqual([
      ['q1', 'a1'],
      ['q2', 'a2'],
    ]);
    expect(questions[0]?.prompt).toEqual({ kind: 'chat', messages: [{ role: 'user', content: 'q1' }] });
  });

  it('expects the last answer that is trained, and leaves out rows that ask nothing', async () => {
    const messages = [
      { role: 'user', content: 'One?' },
      { role: 'assistant', content: 'Yes.' },
      { role: 'user', content: 'Sure?' },
      { role: 'assistant', content: 'Maybe.', weight: 0 },
    ];
    const questions = await questionsOf(file({ text: 'Once.' }, { input_ids: [1, 2] }, { messages }), options);
    expect(questions).toEqual([
      { prompt: { kind: 'chat', messages: messages.slice(0, 1) }, question: 'One?', expected: 'Yes.', heldOut: false },
    ]);
  });

  it('asks what was held out before what was trained, of each to the limit, and no row that the run has not', async () => {
    const rows = [{ text: 'Once.' }, ...[1, 2, 3, 4, 5, 6].map((n) => ({ question: `q${n}`, answer: `a${n}` }))];
    const split = new Map([false, false, true, false, false, true].map((heldOut, i) => [i + 1, heldOut]));
    const ask = async (limit?: number) =>
      (await questionsOf(file(...rows), { rows: split, ...(limit !== undefined && { limit }) })).map(
        ({ question, heldOut }) => [question, heldOut],
      );
    expect(await ask()).toEqual([
      ['q2', true],
      ['q5', true],
      ['q1', false],
      ['q3', false],
      ['q4', false],
    ]);
    expect(await ask(1)).toEqual([
      ['q2', true],
      ['q1', false],
    ]);
    await expectError(
      () => questionsOf(file(...rows), { rows: new Map([[1, false]]) }),
      'bad-data',
      /no questions to ask/,
    );
  });

  it('passes over what can not be asked, and says why where that is everything', async () => {
    const rows = [1, 2, 3].map((n) => ({ question: `q${n}`, answer: `a${n}` }));
    const obstacle = ({ messages }: Conversation) => (messages[0]!.content === 'q2' ? undefined : 'It is too long.');
    const questions = await questionsOf(file(...rows), { ...options, limit: 1, obstacle });
    expect(questions.map(({ question }) => question)).toEqual(['q2']);
    await expectError(
      () => questionsOf(file(rows[0]!), { ...options, obstacle }),
      'bad-data',
      /data\.jsonl has no question that can be asked\. It is too long\./,
    );
  });

  it('leaves out unusable rows, which the run allowed', async () => {
    const rows = [
      { question: 'q1', answer: '' },
      { question: 'q2', answer: 'a2' },
    ];
    const questions = await questionsOf(file(...rows), options);
    expect(questions.map(({ question }) => question)).toEqual(['q2']);
    const none = rows.slice(0, 1);
    await expectError(() => questionsOf(file(...none), options), 'bad-data', /row 1 has an empty answer/);
  });

  it('says that token ids ask nothing', () =>
    expectError(
      () => questionsOf({ name: 'ids.jsonl', bytes: tokenRows(2) }, options),
      'bad-data',
      /ids\.jsonl has token ids/,
    ));
});

describe('max_train_samples', () => {
  it('leaves the rows after it out of everything', async () => {
    const model = await openModel(await tinyModel());
    const ids = { name: 'ids.jsonl', bytes: tokenRows(20) };
    const all = await prepareData(run(), model, ids);
    const some = await prepareData(run({ max_train_samples: '6' }), model, ids);
    expect(all.tokenized.examples).toHaveLength(20);
    expect(some.tokenized.examples).toEqual(all.tokenized.examples.slice(0, 6));
    expect(some.train).toHaveLength(6);
    expect((await prepareData(run({ max_train_samples: '50' }), model, ids)).train).toHaveLength(20);
  });

  it('must be a whole number above 0', () =>
    expectError(() => run({ max_train_samples: '0' }), 'bad-config', /max_train_samples must be a whole number/));
});
