/** Broken files of a run's folder: checkpoints whose hash is right, and Graft's own record. */
import { createHash } from 'node:crypto';
import { encodeUtf8 } from '../../src/core/store';
import { Checkpoints } from '../../src/recipes/steps/checkpoint';
import { readFinishedRun } from '../../src/recipes/steps/outputs';
import { startOfRun } from '../../src/recipes/steps/trainer-state';
import { encodeCheckpoint, MemoryStore, run, tensor } from '../unit/recipes/support';
import { fuzz } from './harness';
import { mutateBytes, mutateJson, mutateText } from './mutate';

const MAGIC = 'graft checkpoint 1\n';

/** The file of this body, with the hash that it has. */
function sealed(body: Uint8Array): Uint8Array {
  const head = encodeUtf8(`${MAGIC}${createHash('sha256').update(body).digest('hex')}\n`);
  return Uint8Array.from([...head, ...body]);
}

fuzz('checkpoint', async () => {
  const good = await encodeCheckpoint({
    run: run({ dataset: 'data.jsonl' }),
    datasetHash: 'd'.repeat(64),
    modelHash: 'm'.repeat(64),
    progress: {
      ...startOfRun(),
      step: 3,
      log: [{ epoch: 0.3, step: 3, loss: 1, grad_norm: 0.1, learning_rate: 1e-4 }],
    },
    state: [tensor('a.lora_A.weight', [1, 2, 3, 4]), tensor('a.lora_A.weight.exp_avg', [0, 0, 0, 0])],
    best: [tensor('a.lora_A.weight', [9, 8, 7, 6])],
  });
  const body = good.subarray(MAGIC.length + 65);
  const headerEnd = 8 + Number(new DataView(body.slice().buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(body.subarray(8, headerEnd))) as {
    __metadata__: { graft: string };
  };
  const withHeader = (bytes: Uint8Array) => {
    const file = new Uint8Array(8 + bytes.length + body.length - headerEnd);
    new DataView(file.buffer).setBigUint64(0, BigInt(bytes.length), true);
    file.set(bytes, 8);
    file.set(body.subarray(headerEnd), 8 + bytes.length);
    return file;
  };
  return {
    make: (random) => {
      if (random.chance(0.1)) return sealed(mutateBytes(body, random));
      if (random.chance(0.2)) return sealed(withHeader(mutateJson(JSON.stringify(header), random)));
      const graft = new TextDecoder().decode(mutateJson(header.__metadata__.graft, random, ['"seed: 1"', '[[1, 2]]']));
      return sealed(withHeader(encodeUtf8(JSON.stringify({ ...header, __metadata__: { graft } }))));
    },
    read: async (bytes) => {
      const store = new MemoryStore();
      store.files.set('checkpoint-0', bytes);
      await Checkpoints.find(store);
    },
    bytes: (bytes) => bytes,
  };
});

fuzz<Record<string, Uint8Array>>('graft.json', () => {
  const record = JSON.stringify({
    graft_version: '0.1.0',
    run_sha256: 'a'.repeat(64),
    dataset_sha256: 'b'.repeat(64),
    model_sha256: 'c'.repeat(64),
    model_revision: null,
    files_sha256: { 'adapter_config.json': 'd'.repeat(64) },
    device: { vendor: 'x', architecture: 'y', description: '', software: true, features: [] },
    summary: { steps: 10, epochs: 1, trainLoss: 1.5, bestEvalLoss: null, stopped: 'finished', seconds: 2.5 },
  });
  const yaml = 'learning_rate: 1.0e-4\nseed: 1\n';
  return {
    make: (random) => ({
      'graft.json': random.chance(0.8) ? mutateJson(record, random) : encodeUtf8(record),
      'run.yaml': random.chance(0.3)
        ? mutateBytes(encodeUtf8(yaml), random)
        : encodeUtf8(random.chance(0.3) ? mutateText(yaml, random, ['seed: 1\n', '\0', '[']) : yaml),
    }),
    read: async (files) => {
      const store = new MemoryStore();
      for (const [name, bytes] of Object.entries(files)) store.files.set(name, bytes);
      await readFinishedRun(store);
    },
    bytes: (files) => files['graft.json']!,
    readable: 0.05,
  };
});
