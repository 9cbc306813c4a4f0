/** A chat with a run while it trains. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { wholeTensor } from '../../../src/core/weights';
import type { TrainEvent, TrainerState } from '../../../src/core/events';
import { decodeUtf8 } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { finetune, openGenerator, type GenerationOptions, type TextGenerator } from '../../../src/recipes';
import { Checkpoints, wholeWeights } from '../../../src/recipes/steps/checkpoint';
import { loraOf } from '../../../src/recipes/steps/options';
import { testGpu } from '../../support/gpu';
import { expectError, MemoryStore, run, tinyModel, tokenRows } from './support';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const config = run({
  learning_rate: '5e-2',
  per_device_train_batch_size: '3',
  gradient_accumulation_steps: '2',
  num_train_epochs: '3',
  save_steps: '2',
  eval_steps: '3',
  val_set_size: '4',
  lora_r: '4',
  lora_dropout: '0.1',
});
const size = { batchSize: 2, maxLength: 32 };
const greedy: GenerationOptions = {
  maxNewTokens: 8,
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 0,
  stop: [],
  useAdapter: true,
};
const prompt = { kind: 'tokens', ids: [1, 2, 3, 4, 5] } as const;

type Answer = Awaited<ReturnType<TextGenerator['generate']>>;

interface Watcher {
  readonly onEvent?: (event: TrainEvent, generator: TextGenerator | undefined, abort: () => void) => void;
  readonly talks?: boolean;
}

async function train(store: MemoryStore, { onEvent, talks = false }: Watcher) {
  const modelFiles = await tinyModel();
  const controller = new AbortController();
  const events: TrainEvent[] = [];
  let generator: TextGenerator | undefined;
  const talk = talks ? { ...size, onReady: (ready: TextGenerator) => (generator = ready) } : undefined;
  await finetune(
    {
      run: config,
      model: await openModel(modelFiles),
      modelFiles,
      dataset: { name: 'rows.jsonl', bytes: tokenRows(22) },
      openEngine: () => Promise.resolve(engine),
      store,
      resume: false,
      talk,
    },
    (event) => {
      events.push(event);
      onEvent?.(event, generator, () => controller.abort());
    },
    controller.signal,
  );
  return { events, generator };
}

const isStep = (event: TrainEvent, step: number) => event.kind === 'step' && event.row.step === step;

function log(store: MemoryStore) {
  const { log_history } = JSON.parse(decodeUtf8(store.files.get('trainer_state.json')!)) as TrainerState;
  return log_history.map(({ eval_runtime: _, ...row }) => row);
}

/** The newest checkpoint, without how long things took. */
async function checkpoint(store: MemoryStore) {
  const { newest } = await Checkpoints.find(store);
  const { progress, state: entries, ...rest } = newest!;
  const state = await Promise.all(entries.map((entry) => wholeTensor(entry)));
  const rows = progress.log.map(({ eval_runtime: _, ...row }) => row);
  return { ...rest, state, progress: { ...progress, seconds: 0, log: rows } };
}

test('the bytes of a run are the same whether somebody talks to it or not', async () => {
  const [silent, talked] = [new MemoryStore(), new MemoryStore()];
  const alone = await train(silent, {});
  const answers: Promise<Answer>[] = [];
  const beside = await train(talked, {
    talks: true,
    onEvent(event, generator) {
      if (!generator || event.kind !== 'step' || event.row.step > 7) return;
      // One is asked between steps; the other comes while the next step, or an evaluation, is under way.
      const ask = (useAdapter: boolean) => generator.generate(prompt, { ...greedy, useAdapter });
      answers.push(ask(event.row.step % 2 === 0));
      answers.push(new Promise((resolve) => setTimeout(resolve, 3)).then(() => ask(true)));
    },
  });
  const given = await Promise.all(answers);
  expect(given).toHaveLength(14);
  expect(new Set(given.map(({ ids }) => ids.join())).size).toBeGreaterThan(2);
  expect([...talked.files.keys()]).toEqual([...silent.files.keys()]);
  expect(talked.files.get('adapter_model.safetensors')).toEqual(silent.files.get('adapter_model.safetensors'));
  expect(log(talked)).toEqual(log(silent));

  const bytes = [alone, beside].map(({ events }) => {
    const plan = events.find((event) => event.kind === 'plan')!;
    return { ...plan.bytes };
  });
  const { spec } = await openModel(await tinyModel());
  const cache = 4 * 2 * spec.numLayers * size.batchSize * size.maxLength * spec.numKeyValueHeads * spec.headDim;
  expect({ ...bytes[1], workspace: 0 }).toEqual({ ...bytes[0], workspace: 0 });
  expect(bytes[1]!.workspace! - bytes[0]!.workspace!).toBeGreaterThanOrEqual(cache);
  await expectError(() => beside.generator!.generate(prompt, greedy), 'cancelled', /run that answered has ended/);
});

test('the run answers as its adapter stands, and as the base model without it', async () => {
  const stopped = new MemoryStore();
  await train(stopped, { onEvent: (event, _, abort) => isStep(event, 4) && abort() });
  const { state } = await checkpoint(stopped);
  const model = await openModel(await tinyModel());
  const tensors = await wholeWeights(state.filter(({ name }) => /lora_[AB]\.weight$/.test(name)));
  const content = { lora: loraOf(config, model.spec)!, baseModel: '', tensors };
  const later = await openGenerator({ model, engine, adapter: { name: 'step 4', content }, contextLength: 32 });
  const expected = {
    tuned: await later.generate(prompt, greedy),
    base: await later.generate(prompt, { ...greedy, useAdapter: false }),
  };
  later.dispose();

  const asked: Promise<Answer>[] = [];
  const cutOff: Promise<unknown>[] = [];
  const store = new MemoryStore();
  await train(store, {
    talks: true,
    onEvent(event, generator, abort) {
      if (isStep(event, 4)) {
        asked.push(generator!.generate(prompt, greedy));
        asked.push(generator!.generate(prompt, { ...greedy, useAdapter: false }));
      }
      if (isStep(event, 6)) {
        cutOff.push(generator!.generate(prompt, { ...greedy, maxNewTokens: 27 }).catch((error: unknown) => error));
        abort();
      }
    },
  });
  const [tuned, base] = await Promise.all(asked);
  expect(tuned).toEqual(expected.tuned);
  expect(base).toEqual(expected.base);
  expect(tuned!.ids).not.toEqual(base!.ids);
  // A run that is stopped doesn't wait for the answer under way, and its checkpoint is that of a run without a chat.
  expect(await cutOff[0]).toMatchObject({ code: 'cancelled', message: expect.stringMatching(/has ended/) as string });
  const silent = new MemoryStore();
  await train(silent, { onEvent: (event, _, abort) => isStep(event, 6) && abort() });
  expect(await checkpoint(store)).toEqual(await checkpoint(silent));
});
