/** Devices that are lost in the middle of a step, and devices with too little memory. */
import { describe, expect, test } from 'vitest';
import { parseRunConfig, type RunConfig } from '../../../src/core/config';
import type { TrainEvent, TrainerState } from '../../../src/core/events';
import { decodeUtf8 } from '../../../src/core/store';
import { openEngine, type DeviceOptions, type Engine } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { CHECKPOINT_SLOTS, finetune, planRun, prepareData, type FinetuneInput } from '../../../src/recipes';
import { refusesLargestBuffer, crowdedDevice, loseAtSubmit } from '../../support/faulty-gpu';
import { testGpu } from '../../support/gpu';
import { wrapGpu } from '../../support/wrapped-gpu';
import { expectError, MemoryStore, run, tinyModel, tokenRows } from './support';

const ADAPTER = 'adapter_model.safetensors';

const settings = {
  learning_rate: '5e-3',
  per_device_train_batch_size: '4',
  gradient_accumulation_steps: '2',
  num_train_epochs: '3',
  max_length: '64',
  save_steps: '2',
  save_seconds: '0',
  eval_steps: '3',
  val_set_size: '4',
  lora_r: '4',
  lora_dropout: '0.1',
};

const { gpu } = await testGpu();
const modelFiles = await tinyModel();
const model = await openModel(modelFiles);
const dataset = { name: 'rows.jsonl', bytes: tokenRows(28) };

interface Extra {
  /** Gets every device that the run opens. */
  readonly onDevice?: (device: GPUDevice) => void;
  readonly options?: DeviceOptions;
  readonly resume?: boolean;
  readonly cancelAfterStep?: number;
  readonly talk?: FinetuneInput['talk'];
}

async function train(store: MemoryStore, config: RunConfig, extra: Extra = {}) {
  const events: TrainEvent[] = [];
  const engines: Engine[] = [];
  const openDevice = async () => {
    const { onDevice } = extra;
    const engine = await openEngine(wrapGpu(gpu, onDevice ? { onDevice } : {}), extra.options);
    engines.push(engine);
    return engine;
  };
  const controller = new AbortController();
  const report = (event: TrainEvent) => {
    events.push(event);
    if (event.kind === 'step' && event.row.step === extra.cancelAfterStep) controller.abort();
  };
  const resume = extra.resume ?? false;
  try {
    const { talk } = extra;
    const input = { run: config, model, modelFiles, dataset, openEngine: openDevice, store, resume, talk };
    const summary = await finetune(input, report, controller.signal);
    return { summary, events, devices: engines.length };
  } finally {
    for (const engine of engines) engine.destroy();
  }
}

const notices = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.kind === 'notice' ? [event.message] : []));
const log = (store: MemoryStore) =>
  (JSON.parse(decodeUtf8(store.files.get('trainer_state.json')!)) as TrainerState).log_history.map(
    ({ eval_runtime: _, ...row }) => row,
  );
const runFile = (store: MemoryStore) => parseRunConfig(decodeUtf8(store.files.get('run.yaml')!));

describe('a device lost in the middle of a step', async () => {
  const whole = new MemoryStore();
  let submits = 0;
  await train(whole, run(settings), {
    onDevice: (device) =>
      loseAtSubmit(device, () => {
        submits++;
        return false;
      }),
  });

  test.each([1, 2, 3, 4, 5, 6, 7])('%s eighths through the run is opened again, to the same bytes', async (eighths) => {
    const store = new MemoryStore();
    let left = Math.floor((eighths / 8) * submits);
    const { events, summary, devices } = await train(store, run(settings), {
      onDevice: (device) => loseAtSubmit(device, () => --left === 0),
    });
    expect(summary).toMatchObject({ stopped: 'finished', steps: 9 });
    expect(devices).toBe(2);
    expect(notices(events)).toContainEqual(expect.stringMatching(/device was lost \(.+\): .*last checkpoint/));
    const lastSaved = events
      .slice(
        0,
        events.findIndex(({ kind }) => kind === 'resumed'),
      )
      .findLast(isCheckpoint);
    expect(events).toContainEqual({ kind: 'resumed', step: lastSaved?.step ?? 0 });
    expect(store.files.get(ADAPTER)).toEqual(whole.files.get(ADAPTER));
    expect(log(store)).toEqual(log(whole));
  });

  test('is not mistaken for a run that the folder held before', async () => {
    const store = new MemoryStore();
    await train(store, run(settings), { cancelAfterStep: 4 });
    expect(store.files.has(CHECKPOINT_SLOTS[0])).toBe(true);
    let left = 1;
    const { events } = await train(store, run(settings), {
      onDevice: (device) => loseAtSubmit(device, () => --left === 0),
    });
    expect(events).toContainEqual({ kind: 'resumed', step: 0 });
    expect(store.files.get(ADAPTER)).toEqual(whole.files.get(ADAPTER));
  });

  test('twice is an error, and the checkpoint is there to go on from', async () => {
    const store = new MemoryStore();
    let seen = 0;
    const often = Math.floor(submits / 3);
    const twice = train(store, run(settings), {
      onDevice: (device) => loseAtSubmit(device, () => ++seen % often === 0),
    });
    await expectError(() => twice, 'device-lost', /checkpoint of step \d+ is kept\. This was the second loss/);
    const { events } = await train(store, run(settings), { resume: true });
    expect(events).toContainEqual({ kind: 'resumed', step: expect.any(Number) as number });
    expect(store.files.get(ADAPTER)).toEqual(whole.files.get(ADAPTER));
  });

  test('and gone for good is an error that says both', async () => {
    let opened = 0;
    const openOnce = async () => {
      if (opened++ > 0) return openEngine(undefined, { afterLoss: true });
      return openEngine(wrapGpu(gpu, { onDevice: (device) => loseAtSubmit(device, () => true) }));
    };
    const store = new MemoryStore();
    const input = { run: run(settings), model, modelFiles, dataset, openEngine: openOnce, store, resume: false };
    await expectError(
      () => finetune(input, () => undefined),
      'device-lost',
      /device was lost.*no checkpoint yet.*can't be opened again: WebGPU is gone/,
    );
  });
});

function isCheckpoint(event: TrainEvent): event is TrainEvent & { kind: 'checkpoint' } {
  return event.kind === 'checkpoint';
}

const isActivation = (label: string) => label.startsWith('slot');

const split = (rows: number) => ({
  ...settings,
  per_device_train_batch_size: String(rows),
  gradient_accumulation_steps: String(8 / rows),
});

const refused = await refusesLargestBuffer(gpu);

describe('a device that runs out of memory', async () => {
  const inTwos = new MemoryStore();
  let room = 0;
  await train(inTwos, run(split(2)), {
    onDevice: (device) =>
      crowdedDevice(device, refused, (size, label) => {
        if (isActivation(label)) room = Math.max(room, size);
        return false;
      }),
  });
  const crowded = (device: GPUDevice) =>
    crowdedDevice(device, refused, (size, label) => isActivation(label) && size > room);

  test('gets smaller micro-batches at the same effective batch, and the run file says so', async () => {
    const store = new MemoryStore();
    const { events, summary, devices } = await train(store, run(split(8)), { onDevice: crowded });
    expect(summary).toMatchObject({ stopped: 'finished', steps: 9 });
    expect(devices).toBe(1);
    expect(notices(events)).toEqual([
      expect.stringMatching(/^Micro-batches of 8 rows do not fit .*size: 4 with gradient_accumulation_steps: 2,/),
      expect.stringMatching(/^Micro-batches of 4 rows do not fit .*size: 2 with gradient_accumulation_steps: 4,/),
    ]);
    expect(runFile(store)).toMatchObject({ per_device_train_batch_size: 2, gradient_accumulation_steps: 4 });
    expect(store.files.get(ADAPTER)).toEqual(inTwos.files.get(ADAPTER));
    expect(log(store)).toEqual(log(inTwos));
  });

  test('is resumed as it was asked for at first, in the micro-batches that fitted', async () => {
    const store = new MemoryStore();
    await train(store, run(split(8)), { onDevice: crowded, cancelAfterStep: 3 });
    const { events } = await train(store, run(split(8)), { onDevice: crowded, resume: true });
    expect(events).toContainEqual({ kind: 'resumed', step: 3 });
    expect(notices(events)).toEqual([]);
    expect(store.files.get(ADAPTER)).toEqual(inTwos.files.get(ADAPTER));
  });

  test('may take over a run from a device that had more', async () => {
    const store = new MemoryStore();
    await train(store, run(split(8)), { cancelAfterStep: 3 });
    const { summary } = await train(store, run(split(8)), { onDevice: crowded, resume: true });
    expect(summary).toMatchObject({ stopped: 'finished', steps: 9 });
    expect(runFile(store)).toMatchObject({ per_device_train_batch_size: 2, gradient_accumulation_steps: 4 });
    const losses = log(inTwos).map(({ loss = 0, eval_loss = 0 }) => loss + eval_loss);
    log(store).forEach(({ loss = 0, eval_loss = 0 }, i) => expect(loss + eval_loss).toBeCloseTo(losses[i]!, 1));
  });

  test('for a single row refuses before training, and writes nothing', async () => {
    const store = new MemoryStore();
    const noRoom = (device: GPUDevice) => crowdedDevice(device, refused, (size) => size > 1000);
    await expectError(
      () => train(store, run(split(4)), { onDevice: noRoom }),
      'out-of-memory',
      /^Even one row at a time does not fit\. The GPU could not hold this run \(.*\): use .*max_length/,
    );
    expect(store.files.size).toBe(0);
  });
});

describe('a software adapter', async () => {
  const engine = await openEngine(gpu, { softwareMemoryBytes: 1 });
  const knowsItsMemory = engine.info.memoryBytes === 1;
  engine.destroy();
  const bytesOf = async (rows: number) => {
    const config = run(split(rows));
    return planRun(config, model, await prepareData(config, model, dataset)).memory.totalBytes;
  };

  test.runIf(knowsItsMemory)('is asked for what the machine has free, and not for more', async () => {
    const store = new MemoryStore();
    const { events } = await train(store, run(split(4)), { options: { softwareMemoryBytes: await bytesOf(2) } });
    expect(notices(events)).toEqual([expect.stringMatching(/^Micro-batches of 4 rows do not fit/)]);
    expect(runFile(store).per_device_train_batch_size).toBe(2);
    await expectError(
      () => train(new MemoryStore(), run(split(4)), { options: { softwareMemoryBytes: 1000 } }),
      'out-of-memory',
      /^Even one row at a time does not fit\. This run needs .* has 1000 bytes free/,
    );
  });

  test.runIf(knowsItsMemory)('with room for a run but not for a chat beside it trains all of it, without', async () => {
    const options = { softwareMemoryBytes: await bytesOf(4) };
    const generators: unknown[] = [];
    const talk = { batchSize: 2, maxLength: 64, onReady: (generator: unknown) => void generators.push(generator) };
    const [silent, talked] = [new MemoryStore(), new MemoryStore()];
    await train(silent, run(split(4)), { options });
    const { events } = await train(talked, run(split(4)), { options, talk });
    expect(notices(events)).toEqual([expect.stringMatching(/with room for a chat beside it: it trains without/)]);
    expect(generators).toEqual([]);
    expect(runFile(talked).per_device_train_batch_size).toBe(4);
    expect(talked.files.get(ADAPTER)).toEqual(silent.files.get(ADAPTER));
  });
});
