/** A run that was stopped on the way, handed to other trainers: what is in the folder goes on where it stood. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { RunConfig } from '../../../src/core/config';
import type { TrainerState } from '../../../src/core/events';
import { decodeUtf8, encodeUtf8, type FileSource } from '../../../src/core/store';
import { openEngine, type Engine } from '../../../src/engine';
import type { StepToDo } from '../../../src/formats/handoff';
import { openModel } from '../../../src/formats/model';
import { readHeader } from '../../../src/formats/safetensors';
import { memorySource } from '../../../src/formats/sources';
import { finetune, handOff, type HandoffTarget } from '../../../src/recipes';
import { testGpu } from '../../support/gpu';
import { expectError, MemoryStore, run, tinyModel, tokenRows } from './support';

let engine: Engine;
let modelFiles: FileSource;
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
  modelFiles = await tinyModel();
});
afterAll(() => engine.destroy());

const ROWS = tokenRows(22);
const settings = {
  learning_rate: '5e-3',
  per_device_train_batch_size: '3',
  gradient_accumulation_steps: '2',
  num_train_epochs: '3',
  eval_steps: '3',
  val_set_size: '4',
  lora_r: '4',
  lora_dropout: '0',
  weight_decay: '0.01',
};
const STOPPED = 4;

interface Training {
  readonly stopAfter?: number;
  readonly adapter?: FileSource;
  readonly rows?: Uint8Array;
}

async function train(config: RunConfig, { stopAfter = Infinity, adapter, rows = ROWS }: Training = {}) {
  const store = new MemoryStore();
  const controller = new AbortController();
  await finetune(
    {
      run: config,
      model: await openModel(modelFiles),
      modelFiles,
      dataset: { name: 'rows.jsonl', bytes: rows },
      openEngine: () => Promise.resolve(engine),
      store,
      adapter,
      resume: false,
      clock: () => 0,
    },
    (event) => {
      if (event.kind === 'step' && event.row.step === stopAfter) controller.abort();
    },
    controller.signal,
  );
  return store;
}

async function handedTo(to: HandoffTarget, store: MemoryStore, rows = ROWS) {
  const model = await openModel(modelFiles);
  const dataset = { name: 'rows.jsonl', bytes: rows };
  const handed = await handOff({ store, model, modelFiles, modelPath: '/models/tiny', dataset, to });
  const files = new Map(handed.files.map(({ path, bytes }) => [path, bytes]));
  const text = (path: string) => decodeUtf8(files.get(path)!);
  const lines = <T>(path: string) =>
    text(path)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as T);
  return { ...handed, paths: files, text, lines };
}

const log = (store: MemoryStore) =>
  (JSON.parse(decodeUtf8(store.files.get('trainer_state.json')!)) as TrainerState).log_history;

describe('handed to accelerate', () => {
  let whole: MemoryStore;
  let handed: Awaited<ReturnType<typeof handedTo>>;
  beforeAll(async () => {
    whole = await train(run(settings));
    handed = await handedTo('accelerate', await train(run(settings), { stopAfter: STOPPED }));
  }, 60_000);

  test('the steps that are left have the learning rates, epochs and evaluations of the whole run', () => {
    const steps = handed.lines<StepToDo>('steps.jsonl');
    const left = log(whole).filter(({ step }) => step > STOPPED);
    const trained = left.filter(({ loss }) => loss !== undefined);
    expect(steps.map(({ step, epoch, learning_rate }) => ({ step, epoch, learning_rate }))).toEqual(
      trained.map(({ step, epoch, learning_rate }) => ({ step, epoch, learning_rate })),
    );
    const evaluated = left.filter((row) => row.eval_loss !== undefined).map(({ step }) => step);
    expect(steps.filter(({ evaluate }) => evaluate).map(({ step }) => step)).toEqual(evaluated);
    expect(handed.step).toBe(STOPPED);
  });

  test('its first loss is that of the whole run, from its own rows and adapter', async () => {
    const [first] = handed.lines<StepToDo>('steps.jsonl');
    const rows = handed.text('data/train.jsonl').trimEnd().split('\n');
    const taken = encodeUtf8(first!.rows.map((row) => `${rows[row]}\n`).join(''));
    const adapter = memorySource(
      'adapter',
      Object.fromEntries(
        [...handed.paths].flatMap(([path, bytes]) =>
          path.startsWith('adapter/') ? [[path.slice('adapter/'.length), bytes]] : [],
        ),
      ),
    );
    const one = run({ max_steps: '1', per_device_train_batch_size: '6', gradient_accumulation_steps: '1' });
    const again = await train(one, { adapter, rows: taken });
    const expected = log(whole).find(({ step, loss }) => step === STOPPED + 1 && loss !== undefined)!;
    expect(log(again)[0]!.loss! / expected.loss!).toBeCloseTo(1, 6);
  });

  test('every trained tensor has both moments', async () => {
    const names = await namesOf(handed.paths.get('adapter/adapter_model.safetensors')!);
    const moments = await namesOf(handed.paths.get('optimizer.safetensors')!);
    expect(moments.sort()).toEqual(names.flatMap((name) => [`${name}.exp_avg`, `${name}.exp_avg_sq`]).sort());
  });

  test('held-out rows are not trained, and the log so far is kept', () => {
    expect(handed.lines('data/test.jsonl')).toHaveLength(4);
    expect(handed.lines('data/train.jsonl')).toHaveLength(18);
    const state = JSON.parse(handed.text('trainer_state.json')) as TrainerState;
    expect(state.global_step).toBe(STOPPED);
    expect(state.log_history.filter(({ loss }) => loss !== undefined)).toHaveLength(STOPPED);
  });

  test('what PyTorch does otherwise is said', async () => {
    expect(handed.leftOut).toEqual([]);
    const other = run({ ...settings, lora_dropout: '0.1', early_stopping_patience: '9' });
    const { leftOut } = await handedTo('accelerate', await train(other, { stopAfter: STOPPED }));
    expect(leftOut.join(' ')).toMatch(/Dropout is drawn by PyTorch.*stops early for no loss/);
  });
});

test('Axolotl goes on from the adapter for the steps that are left; TRL begins anew', async () => {
  const store = await train(run(settings), { stopAfter: STOPPED });
  const axolotl = await handedTo('axolotl', store);
  const { learning_rate } = (await handedTo('accelerate', store)).lines<StepToDo>('steps.jsonl')[0]!;
  expect(parse(axolotl.text('axolotl.yaml'))).toMatchObject({
    base_model: '/models/tiny',
    adapter: 'lora',
    lora_model_dir: 'adapter',
    max_steps: 9 - STOPPED,
    warmup_steps: 0,
    learning_rate,
    weight_decay: 0.01,
    datasets: [{ path: 'data/train.jsonl', ds_type: 'json', split: 'train', type: null }],
  });
  expect(axolotl.paths.has('adapter/adapter_model.safetensors')).toBe(true);
  const trl = await handedTo('trl', store);
  expect(parse(trl.text('trl.yaml'))).toMatchObject({
    max_steps: 9,
    warmup_steps: 1,
    learning_rate: 5e-3,
    lora_r: 4,
    dataset_test_split: 'test',
  });
  expect(trl.leftOut[0]).toContain('trains a new adapter');
});

test('whole training hands on the model, from which TRL goes on', async () => {
  const config = run({ use_peft: 'false', max_steps: '4', per_device_train_batch_size: '3' });
  const trl = await handedTo('trl', await train(config, { stopAfter: 2 }));
  expect(parse(trl.text('trl.yaml'))).toMatchObject({ model_name_or_path: 'model', max_steps: 2 });
  expect(trl.paths.has('model/model.safetensors')).toBe(true);
});

test('a run without a checkpoint, a finished one, other data and rows of tokens are refused in a sentence', async () => {
  await expectError(() => handedTo('trl', new MemoryStore()), 'not-found', /holds no checkpoint/);
  const finished = await train(run({ max_steps: '2' }));
  await expectError(() => handedTo('trl', finished), 'not-found', /is finished/);
  const store = await train(run({ max_steps: '3' }), { stopAfter: 1 });
  await expectError(
    () => handedTo('trl', store, tokenRows(21)),
    'bad-config',
    /is not the dataset that this run trains on/,
  );
  await expectError(() => handedTo('llamafactory', store), 'unsupported', /is no conversation/);
});

async function namesOf(bytes: Uint8Array): Promise<string[]> {
  const { tensors } = await readHeader(memorySource('folder', { file: bytes }), 'file');
  return tensors.map(({ name }) => name);
}
