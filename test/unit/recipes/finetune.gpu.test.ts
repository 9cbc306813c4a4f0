import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunConfig } from '../../../src/core/config';
import type { TrainEvent, TrainerState } from '../../../src/core/events';
import { GraftError } from '../../../src/core/errors';
import { decodeUtf8 } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { readAdapter } from '../../../src/formats/peft';
import { memorySource } from '../../../src/formats/sources';
import { finetune, readFinished } from '../../../src/recipes';
import { testGpu } from '../../support/gpu';
import { expectError, MemoryStore, run, tinyModel, tokenRows } from './support';

const ADAPTER = 'adapter_model.safetensors';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
});
afterAll(() => engine.destroy());

const settings = {
  learning_rate: '5e-3',
  per_device_train_batch_size: '3',
  gradient_accumulation_steps: '2',
  num_train_epochs: '3',
  save_steps: '2',
  eval_steps: '3',
  val_set_size: '4',
  lora_r: '4',
  lora_dropout: '0.1',
};

interface Extra {
  readonly openEngine?: () => Promise<Engine>;
  readonly resume?: boolean;
  /** Cancels after this event. */
  readonly cancelAt?: (event: TrainEvent) => boolean;
  readonly rows?: number;
  readonly adapter?: ReturnType<typeof memorySource>;
  readonly clock?: () => number;
}

async function train(store: MemoryStore, config: RunConfig, extra: Extra = {}) {
  const modelFiles = await tinyModel();
  const events: TrainEvent[] = [];
  const controller = new AbortController();
  const summary = await finetune(
    {
      run: config,
      model: await openModel(modelFiles),
      modelFiles,
      dataset: { name: 'rows.jsonl', bytes: tokenRows(extra.rows ?? 22) },
      openEngine: extra.openEngine ?? (() => Promise.resolve(engine)),
      store,
      adapter: extra.adapter,
      resume: extra.resume ?? false,
      clock: extra.clock ?? (() => 0), // what is saved must not hang on how long a step takes
    },
    (event) => {
      events.push(event);
      if (extra.cancelAt?.(event)) controller.abort();
    },
    controller.signal,
  );
  return { summary, events };
}

const state = (store: MemoryStore) => JSON.parse(decodeUtf8(store.files.get('trainer_state.json')!)) as TrainerState;
/** The log without how long things took. */
const log = (store: MemoryStore) => state(store).log_history.map(({ eval_runtime: _, ...row }) => row);

describe('a run', () => {
  const whole = new MemoryStore();
  let events: TrainEvent[];

  test('trains, evaluates, and leaves the files of DESIGN section 4 with graft.json last', async () => {
    const done = await train(whole, run(settings));
    events = done.events;
    // 18 rows: 6 micro-batches, 3 steps an epoch.
    expect(done.summary).toMatchObject({ steps: 9, epochs: 3, stopped: 'finished' });
    expect([...whole.files.keys()].sort()).toEqual(
      ['README.md', 'adapter_config.json', ADAPTER, 'graft.json', 'run.yaml', 'trainer_state.json'].sort(),
    );
    expect(whole.written.at(-1)).toBe('graft.json');
    expect(await readFinished(whole)).toEqual(done.summary);
  });

  test('logs as Transformers does', () => {
    const rows = log(whole);
    expect(rows.map(({ step, loss }) => [step, loss === undefined ? 'eval' : 'train'])).toEqual(
      [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9].map((step, i, all) => [step, all[i - 1] === step ? 'eval' : 'train']),
    );
    expect(rows[0]).toMatchObject({ epoch: 0.3333, learning_rate: 0 });
    expect(state(whole)).toMatchObject({
      global_step: 9,
      max_steps: 9,
      num_train_epochs: 3,
      epoch: 3,
      train_batch_size: 3,
    });
    const training = rows.flatMap(({ loss }) => loss ?? []);
    expect(training.at(-1)!).toBeLessThan(training[0]!);
    const evaluated = rows.flatMap(({ eval_loss }) => eval_loss ?? []);
    expect(state(whole).best_metric).toBe(Math.min(...evaluated));
  });

  test('says what it does: plan, loading to the end, steps with their pace', () => {
    const plan = events.find((event) => event.kind === 'plan');
    expect(plan).toMatchObject({ totalSteps: 9 });
    const loading = events.filter((event) => event.kind === 'loading').at(-1)!;
    expect(loading.loadedBytes).toBe(loading.totalBytes);
    const steps = events.filter((event) => event.kind === 'step');
    expect(steps).toHaveLength(9);
    expect(steps.every(({ tokensPerSecond }) => tokensPerSecond > 0)).toBe(true);
    expect(steps.at(-1)!.secondsLeft).toBe(0);
    expect(events.filter(({ kind }) => kind === 'checkpoint')).toEqual(
      [2, 4, 6, 8].map((step) => ({ kind: 'checkpoint', step })),
    );
  });

  test('gives the same adapter bytes again', async () => {
    const again = new MemoryStore();
    await train(again, run({ ...settings, output_dir: 'elsewhere' }));
    expect(again.files.get(ADAPTER)).toEqual(whole.files.get(ADAPTER));
    expect(log(again)).toEqual(log(whole));
  });

  test('cancelled after any step and resumed, ends in the same bytes and log', async () => {
    for (let step = 1; step <= 8; step++) {
      const store = new MemoryStore();
      const cancelAt = (event: TrainEvent) => event.kind === 'step' && event.row.step === step;
      const cut = await train(store, run(settings), { cancelAt });
      expect(cut.summary).toMatchObject({ stopped: 'cancelled', steps: step });
      expect(store.files.has('graft.json')).toBe(false);
      const rest = await train(store, run(settings), { resume: true });
      expect(rest.events).toContainEqual({ kind: 'resumed', step });
      expect(store.files.get(ADAPTER), `after step ${step}`).toEqual(whole.files.get(ADAPTER));
      expect(log(store)).toEqual(log(whole));
    }
  });

  test('cancelled during an evaluation makes up for it when resumed', async () => {
    const store = new MemoryStore();
    const cut = await train(store, run(settings), {
      cancelAt: (event) => event.kind === 'phase' && event.phase === 'evaluating',
    });
    expect(cut.summary).toMatchObject({ stopped: 'cancelled', steps: 3 });
    await train(store, run(settings), { resume: true });
    expect(store.files.get(ADAPTER)).toEqual(whole.files.get(ADAPTER));
    expect(log(store)).toEqual(log(whole));
  });

  test('cut off at any write and resumed, ends in the same bytes', async () => {
    const writes = whole.written.length;
    for (let cutAt = 1; cutAt < writes; cutAt += 2) {
      const store = new MemoryStore();
      let left = cutAt;
      store.beforeWrite = () => {
        if (left-- === 0) throw new GraftError('storage', 'The disk is full.');
      };
      await expectError(() => train(store, run(settings)), 'storage', /The disk is full/);
      store.beforeWrite = () => undefined;
      await train(store, run(settings), { resume: true });
      expect(store.files.get(ADAPTER), `write ${cutAt}`).toEqual(whole.files.get(ADAPTER));
    }
  });

  test('that is finished is not trained again by a resume', async () => {
    const before = new Map(whole.files);
    const { summary, events: said } = await train(whole, run(settings), { resume: true });
    expect(summary).toMatchObject({ steps: 9, stopped: 'finished' });
    expect(said).toEqual([{ kind: 'notice', message: expect.stringContaining('finished already') as string }]);
    expect(whole.files).toEqual(before);
  });

  test('without a checkpoint yet starts from the first step when resumed', async () => {
    const store = new MemoryStore();
    const { events: said } = await train(store, run({ ...settings, max_steps: '1' }), { resume: true });
    expect(said).toContainEqual({ kind: 'notice', message: expect.stringContaining('no checkpoint yet') as string });
  });

  test('is not resumed with other settings or other data', async () => {
    const store = new MemoryStore();
    const cancelAt = (event: TrainEvent) => event.kind === 'step' && event.row.step === 2;
    await train(store, run(settings), { cancelAt });
    const other = run({ ...settings, learning_rate: '1e-3' });
    await expectError(() => train(store, other, { resume: true }), 'bad-config', /learning_rate is 0\.001/);
    // The same number of rows but for what they hold: 22 rows of 23, the last of which was held out before.
    await expectError(
      () => train(store, run(settings), { resume: true, rows: 23 }),
      'bad-config',
      /dataset is not the one/,
    );
    expect((await train(store, run(settings), { resume: true })).summary.stopped).toBe('finished');
  });

  test('goes on from an adapter, with its rank and target modules', async () => {
    const start = memorySource('first', Object.fromEntries(whole.files));
    const store = new MemoryStore();
    await train(store, run({ ...settings, lora_r: '16', learning_rate: '1e-9', max_steps: '1' }), { adapter: start });
    const from = await readAdapter(start);
    const to = await readAdapter(memorySource('second', Object.fromEntries(store.files)));
    expect(to.lora).toEqual(from.lora);
    // The first rate of a warm-up is 0.
    expect(to.tensors).toEqual(from.tensors);
    expect(decodeUtf8(store.files.get('run.yaml')!)).toMatch(/lora_r: 4\n/);
  });
});

test('with all that saves memory, cancelled after any step and resumed, ends in the same bytes', async () => {
  // Rank 128: matrices of 32 × 128 are large enough for 8-bit moments, those of the keys and values are not.
  const eightBit = {
    ...settings,
    optim: 'adamw_8bit',
    lora_r: '128',
    load_in_4bit: 'true',
    embedding_dtype: 'q8',
    checkpoint_layers: '2',
    checkpoint_dtype: 'bfloat16',
    mlp_chunk_size: '16',
    max_steps: '4',
    save_steps: '3',
  };
  const whole = new MemoryStore();
  const { summary } = await train(whole, run(eightBit));
  expect(summary.trainLoss).toBeGreaterThan(0);
  const plain = new MemoryStore();
  await train(plain, run({ ...eightBit, optim: 'adamw' }));
  expect(plain.files.get(ADAPTER)).not.toEqual(whole.files.get(ADAPTER));
  const losses = (store: MemoryStore) => log(store).flatMap(({ loss }) => loss ?? []);
  losses(whole).forEach((loss, i) => expect(Math.abs(loss - losses(plain)[i]!)).toBeLessThan(0.01));
  for (const step of [1, 2, 3]) {
    const store = new MemoryStore();
    await train(store, run(eightBit), { cancelAt: (event) => event.kind === 'step' && event.row.step === step });
    await train(store, run(eightBit), { resume: true });
    expect(store.files.get(ADAPTER), `after step ${step}`).toEqual(whole.files.get(ADAPTER));
  }
});

describe('a run of long steps', () => {
  const saved = (events: TrainEvent[]) => events.flatMap((event) => (event.kind === 'checkpoint' ? [event.step] : []));
  /** A clock that goes on by so many seconds each time it is looked at. */
  const goesOnBy = (seconds: number) => {
    let now = 0;
    return () => (now += 1000 * seconds);
  };

  test('is saved by the clock beside save_steps, and leaves the same bytes', async () => {
    const config = { ...settings, save_steps: '1000' };
    const plain = new MemoryStore();
    const unsaved = await train(plain, run(config), { clock: () => 0 });
    expect(saved(unsaved.events)).toEqual([]);
    const late = new MemoryStore();
    const { events } = await train(late, run(config), { clock: goesOnBy(15) });
    expect(saved(events)).toEqual([2, 4, 6, 8]); // 30 seconds later each
    expect(late.files.get(ADAPTER)).toEqual(plain.files.get(ADAPTER));
    const never = await train(new MemoryStore(), run({ ...config, save_seconds: '0' }), { clock: goesOnBy(15) });
    expect(saved(never.events)).toEqual([]);
    const often = await train(new MemoryStore(), run({ ...config, save_steps: '3' }), { clock: goesOnBy(9) });
    expect(saved(often.events)).toEqual([3, 6]); // what save_steps saved, the clock waits from
  });
});

describe('evaluations that the run file leaves open', () => {
  test('are five or more, and stand in run.yaml; too long an interval is said', async () => {
    const open = Object.fromEntries(Object.entries(settings).filter(([key]) => key !== 'eval_steps'));
    const store = new MemoryStore();
    await train(store, run(open));
    expect(log(store).filter(({ eval_loss }) => eval_loss !== undefined)).toHaveLength(9);
    expect(decodeUtf8(store.files.get('run.yaml')!)).toContain('\neval_steps: 1\n');
    const again = await train(store, run(open), { resume: true }); // it is finished, with the same settings
    expect(again.events).toContainEqual({ kind: 'notice', message: expect.stringContaining('finished') as string });
    const { events } = await train(new MemoryStore(), run({ ...open, eval_steps: '10' }));
    const message = 'eval_steps is 10, more than the 9 steps of the run: it is evaluated once, at its end.';
    expect(events).toContainEqual({ kind: 'notice', message });
  });
});

describe('early stopping', () => {
  // A rate far too high: the evaluation loss gets worse soon.
  const unstable = {
    ...settings,
    learning_rate: '0.3',
    lr_scheduler_type: 'constant',
    eval_steps: '1',
    num_train_epochs: '20',
    early_stopping_patience: '2',
  };

  test('ends after patience evaluations without a better one, and keeps the adapter of the best', async () => {
    const store = new MemoryStore();
    const { summary, events } = await train(store, run(unstable));
    const losses = log(store).flatMap(({ eval_loss }) => eval_loss ?? []);
    const best = Math.min(...losses);
    expect(summary).toMatchObject({ stopped: 'early', bestEvalLoss: best });
    expect(losses.length - 1 - losses.indexOf(best)).toBe(2);
    const bestStep = losses.indexOf(best) + 1;
    expect(events).toContainEqual({ kind: 'early-stop', step: summary.steps, bestStep });

    // Training just as far as the best step gives the adapter that was kept.
    const short = new MemoryStore();
    await train(short, run({ ...unstable, max_steps: String(bestStep), early_stopping_patience: '0' }));
    expect(store.files.get(ADAPTER)).toEqual(short.files.get(ADAPTER));

    const resumed = new MemoryStore();
    const cancelAt = (event: TrainEvent) => event.kind === 'step' && event.row.step === bestStep + 1;
    await train(resumed, run(unstable), { cancelAt });
    await train(resumed, run(unstable), { resume: true });
    expect(resumed.files.get(ADAPTER)).toEqual(store.files.get(ADAPTER));
  });
});

describe('faults', () => {
  test('a loss that is not finite says at which step and what to do, and keeps the last checkpoint', async () => {
    const store = new MemoryStore();
    const wild = run({
      ...settings,
      learning_rate: '1e30',
      lr_scheduler_type: 'constant',
      save_steps: '1',
      eval_steps: '100',
    });
    await expectError(
      () => train(store, wild),
      'diverged',
      /At step \d+ the loss is .*lower learning_rate.*checkpoint/,
    );
    expect(store.files.has(ADAPTER)).toBe(false);
  });

  test('cancelled while loading throws and writes nothing', async () => {
    const store = new MemoryStore();
    await expectError(
      () => train(store, run(settings), { cancelAt: ({ kind }) => kind === 'loading' }),
      'cancelled',
      /Stopped/,
    );
    expect(store.files.size).toBe(0);
  });
});

describe('a packed run', () => {
  const packed = { ...settings, packing: 'true', max_length: '32', num_train_epochs: '4' };

  test('says how many rows went into how many sequences, and resumes to the same bytes', async () => {
    const whole = new MemoryStore();
    const { events, summary } = await train(whole, run(packed));
    const message = expect.stringMatching(/^18 rows are packed into 6 sequences of up to 32 tokens\.$/) as string;
    expect(events).toContainEqual({ kind: 'notice', message });
    // 6 sequences: 2 micro-batches of 3, one step an epoch.
    expect(summary).toMatchObject({ steps: 4, epochs: 4, stopped: 'finished' });
    for (const step of [1, 3]) {
      const store = new MemoryStore();
      await train(store, run(packed), { cancelAt: (event) => event.kind === 'step' && event.row.step === step });
      await train(store, run(packed), { resume: true });
      expect(store.files.get(ADAPTER)).toEqual(whole.files.get(ADAPTER));
      expect(log(store)).toEqual(log(whole));
    }
  });

  test('evaluates and steps as the same rows unpacked do, where a step takes all of them', async () => {
    const all = { ...packed, lora_dropout: '0', num_train_epochs: '3', per_device_train_batch_size: '18' };
    const [together, apart] = [new MemoryStore(), new MemoryStore()];
    await train(together, run(all));
    await train(apart, run({ ...all, packing: 'false' }));
    const [a, b] = [log(together), log(apart)];
    expect(a).toHaveLength(b.length);
    a.forEach((row, i) => {
      for (const key of ['loss', 'grad_norm', 'eval_loss'] as const) {
        expect(row[key] === undefined).toBe(b[i]![key] === undefined);
        if (row[key] !== undefined) expect(Math.abs(row[key] / b[i]![key]! - 1)).toBeLessThan(1e-4);
      }
    });
  });
});

test('training every parameter leaves a model folder that opens', async () => {
  const store = new MemoryStore();
  const { events } = await train(
    store,
    run({ ...settings, use_peft: 'false', learning_rate: '1e-3', num_train_epochs: '1' }),
  );
  const plan = events.find((event) => event.kind === 'plan')!;
  expect(plan.trainableParameters).toBe(plan.totalParameters);
  const model = await openModel(memorySource('trained', Object.fromEntries(store.files)));
  expect(model.weightDType).toBe('f32');
  expect(store.files.has('adapter_config.json')).toBe(false);
});
