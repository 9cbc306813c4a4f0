/** Plans of runs that go on from an adapter, against what they hold on a device. */
import { afterAll, expect, test } from 'vitest';
import { openEngine, type Engine, type MemoryPlan } from '../../../src/engine';
import { openModel } from '../../../src/formats/model';
import { readAdapter } from '../../../src/formats/peft';
import { memorySource } from '../../../src/formats/sources';
import { finetune, planRun, prepareData, resolveRun } from '../../../src/recipes';
import { testGpu } from '../../support/gpu';
import { MemoryStore, run, tinyModel, tokenRows } from './support';

const pairs = Array.from({ length: 6 }, (_, i) =>
  JSON.stringify({
    ...{ chosen_input_ids: [1, 2, 3 + i, 4, 5], chosen_labels: [-100, -100, 3 + i, 4, 5] },
    ...{ rejected_input_ids: [1, 2, 9, 8 + i], rejected_labels: [-100, -100, 9, 8 + i] },
  }),
).join('\n');

const modelFiles = await tinyModel();
const model = await openModel(modelFiles);
const engine = await openEngine((await testGpu()).gpu);
afterAll(() => engine.destroy());

/** Trains a step; gives what is alive on the device then, and the run's folder. */
async function train(config: ReturnType<typeof run>, bytes: Uint8Array, adapter?: ReturnType<typeof memorySource>) {
  const store = new MemoryStore();
  let live: MemoryPlan | undefined;
  const watched: Engine = {
    ...engine,
    async createSession(...args) {
      const session = await engine.createSession(...args);
      live = { totalBytes: session.liveBytes.totalBytes, bytes: { ...session.liveBytes.bytes } };
      return session;
    },
  };
  const input = {
    run: config,
    model,
    modelFiles,
    dataset: { name: 'rows.jsonl', bytes },
    store,
    adapter,
    resume: false,
  };
  await finetune({ ...input, openEngine: () => Promise.resolve(watched) }, () => undefined);
  return { live, folder: memorySource('earlier', Object.fromEntries(store.files)) };
}

test.each([
  ['sft', tokenRows(6)],
  ['dpo', new TextEncoder().encode(pairs)],
] as const)(
  'a %s run that goes on from an adapter holds what its plan says, rank and frozen copy included',
  async (method, bytes) => {
    const first = await train(run({ lora_r: '12', max_steps: '1' }), tokenRows(6));
    const config = run({ method, lora_r: '4', max_steps: '1', per_device_train_batch_size: '2' });
    const { live } = await train(config, bytes, first.folder);
    const resolved = resolveRun(config, model, { name: 'earlier', content: await readAdapter(first.folder) });
    const data = await prepareData(resolved, model, { name: 'rows.jsonl', bytes });
    expect(planRun(resolved, model, data, { fromAdapter: true }).memory).toEqual(live);
    if (method === 'dpo') expect(planRun(resolved, model, data).memory).not.toEqual(live);
  },
);
