/** The room of a conversation on the page: it grows with what is said, as far as there is memory. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GraftError } from '../../../src/core/errors';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel, type HubModel } from '../../../src/formats/model';
import { testGpu } from '../../support/gpu';
import { Answering, type ChatOptions } from '../../../workers/models/answering';
import { tinyModel } from '../recipes/support';

let engine: Engine;
let model: HubModel;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
  model = await openModel(await tinyModel({ max_position_embeddings: 8192 }));
});
afterAll(() => engine.destroy());

/** The engine on a GPU that holds a cache of so many tokens, with the caches that it was asked for. */
function smallEngine(mostTokens: number) {
  const asked: number[] = [];
  const small = Object.create(engine) as Engine;
  small.createSession = ((shape, views, ...rest) => {
    const { maxLength } = (views as { decode: { maxLength: number } }).decode;
    asked.push(maxLength);
    if (maxLength > mostTokens) return Promise.reject(new GraftError('out-of-memory', 'It does not fit.'));
    return engine.createSession(shape, views, ...rest);
  }) as Engine['createSession'];
  return { small, asked };
}

const options: ChatOptions = {
  voice: 'base',
  maxNewTokens: 2,
  ...{ temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1, seed: 0, stop: [] },
};
const ids = (count: number) => Array.from({ length: count }, (_, i) => 1 + (i % 7));
const never = new AbortController().signal;

test('the context doubles when a conversation outgrows it, and stays where it fits', async () => {
  const { small, asked } = smallEngine(Infinity);
  const answering = new Answering();
  const speakers = { engine: small, model, cache: undefined, run: undefined };
  const ask = (tokens: number) =>
    answering.answer(
      { model: 'm', runId: null },
      speakers,
      ids(tokens),
      options,
      { onText: () => undefined, onNotice: () => undefined },
      never,
    );
  expect((await ask(5)).contextLimit).toBe(8192);
  await ask(9);
  expect(asked).toEqual([2048]);
  expect(await ask(2100)).toMatchObject({ promptTokens: 2100, newTokens: 2, contextLimit: 8192 });
  await ask(5);
  expect(asked).toEqual([2048, 4096]);
  answering.release();
});

test('where there is no memory for more, the conversation keeps what there is, which is said once', async () => {
  const { small, asked } = smallEngine(2048);
  const answering = new Answering();
  const notices: string[] = [];
  const speakers = { engine: small, model, cache: undefined, run: undefined };
  const ask = (tokens: number) =>
    answering.answer(
      { model: 'm', runId: null },
      speakers,
      ids(tokens),
      options,
      { onText: () => undefined, onNotice: (notice) => notices.push(notice) },
      never,
    );
  await ask(5);
  await expect(ask(2100)).rejects.toThrow('The prompt has 2100 tokens and the context holds 2048');
  expect(notices).toEqual([
    'The memory of the GPU has no room for a context of 4,096 tokens: the conversation is held to half of that.',
  ]);
  expect((await ask(7)).contextLimit).toBe(2048);
  await expect(ask(2100)).rejects.toThrow('context holds 2048');
  expect(asked).toEqual([2048, 4096, 2048]);
  answering.release();
});
