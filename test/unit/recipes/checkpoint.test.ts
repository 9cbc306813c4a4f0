import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  CHECKPOINT_SLOTS,
  checkpointFile,
  Checkpoints,
  newestCheckpointStep,
  type Checkpoint,
} from '../../../src/recipes/steps/checkpoint';
import { sha256 } from '../../../src/core/hash';
import { encodeUtf8 } from '../../../src/core/store';
import { writeSafetensors } from '../../../src/formats/safetensors';
import { readFinishedRun } from '../../../src/recipes/steps/outputs';
import { startOfRun } from '../../../src/recipes/steps/trainer-state';
import { decodeCheckpoint, encodeCheckpoint, MemoryStore, run, tensor } from './support';

function checkpoint(step: number, best?: Checkpoint['best']): Checkpoint {
  const log = [{ epoch: 0.3333, step, loss: 1 / 3, grad_norm: 0.1, learning_rate: 2e-4 }];
  return {
    run: run({ dataset: 'data.jsonl', lora_target_modules: 'q_proj,v_proj' }),
    datasetHash: 'd'.repeat(64),
    modelHash: 'm'.repeat(64),
    progress: { ...startOfRun(), step, log, lossSum: 0.1 + 0.2, best: { loss: 1e-7, step } },
    state: [
      tensor('a.lora_A.weight', [1, -2.5, 3e-8, 0]),
      tensor('a.lora_A.weight.exp_avg', [0.1, 0.2, 0.3, 0.4]),
      { name: 'a.lora_A.weight.exp_avg_sq', dtype: 'u8', shape: [3], bytes: Uint8Array.of(0, 127, 255) },
    ],
    best,
  };
}

describe('a checkpoint file', () => {
  test('gives back everything, bit for bit', async () => {
    const written = checkpoint(25, [tensor('a.lora_A.weight', [9, 8, 7, 6])]);
    const read = await decodeCheckpoint(await encodeCheckpoint(written));
    const byName = <T extends { readonly name: string }>(list: readonly T[]) =>
      [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(read).toMatchObject({ run: written.run, progress: written.progress, datasetHash: written.datasetHash });
    expect(byName(read!.state)).toEqual(byName(written.state));
    expect(read!.best).toEqual(written.best);
  });

  test('is not one when cut at any place, or with any bit flipped', async () => {
    const file = await encodeCheckpoint(checkpoint(25));
    for (let end = 0; end < file.length; end += 7)
      expect(await decodeCheckpoint(file.subarray(0, end))).toBeUndefined();
    for (let at = 0; at < file.length; at += 13) {
      const flipped = file.slice();
      flipped[at]! ^= 1;
      expect(await decodeCheckpoint(flipped), `byte ${at}`).toBeUndefined();
    }
  });

  test('holds nothing that depends on when it was written', async () => {
    expect(await encodeCheckpoint(checkpoint(5))).toEqual(await encodeCheckpoint(checkpoint(5)));
  });
});

describe('a checkpoint of any size', () => {
  const PIECES = 24;
  const PIECE_BYTES = 256 * 1024;
  const shape = [(PIECES * PIECE_BYTES) / 4];
  /** A tensor of 6 MiB that is made as it is read, and never held. */
  const large = (name: string) => ({
    name,
    dtype: 'f32' as const,
    shape,
    async *pieces() {
      for (let i = 0; i < PIECES; i++) yield await Promise.resolve(new Uint8Array(PIECE_BYTES).fill(i + name.length));
    },
  });
  const names = ['w', 'w.exp_avg', 'w.exp_avg_sq'];

  test('is written, and read back, without being in memory: no buffer is larger than what is read at once', async () => {
    const written = checkpointFile({ ...checkpoint(5), state: names.map(large) });
    const pieces: Uint8Array[] = [];
    let largest = 0;
    for await (const piece of written.pieces()) {
      largest = Math.max(largest, piece.byteLength);
      pieces.push(piece);
    }
    expect(largest).toBe(PIECE_BYTES);

    const file = new Uint8Array(Buffer.concat(pieces));
    expect(file.byteLength).toBe(written.size);
    let mostAtOnce = 0;
    const store = Object.assign(new MemoryStore(), {
      read: () => Promise.reject(new Error('the whole file was read at once')),
      size: (name: string) => Promise.resolve(name === 'checkpoint-0' ? file.byteLength : undefined),
      readAt: (_: string, start: number, end: number) => {
        mostAtOnce = Math.max(mostAtOnce, end - start);
        return Promise.resolve(file.subarray(start, end));
      },
    });
    const { newest } = await Checkpoints.find(store);
    expect(newest!.progress.step).toBe(5);
    let bytes = 0;
    for (const { name, pieces: read } of newest!.state) {
      let at = 0;
      for await (const piece of read()) {
        expect(piece[0]).toBe(at / PIECE_BYTES + name.length);
        at += piece.byteLength;
      }
      bytes += at;
    }
    expect(bytes).toBe(names.length * PIECES * PIECE_BYTES);
    expect(mostAtOnce).toBe(4 * 2 ** 20);
  });

  test('has the bytes of one that was in memory', async () => {
    const held = await decodeCheckpoint(await encodeCheckpoint({ ...checkpoint(5), state: names.map(large) }));
    const again = await encodeCheckpoint({ ...checkpoint(5), state: held!.state });
    expect(sum(again)).toBe(sum(await encodeCheckpoint({ ...checkpoint(5), state: names.map(large) })));
  });

  test('is refused where the state is not as long as its shape says', async () => {
    const short = { ...large('w'), shape: [shape[0]! + 1] };
    await expect(encodeCheckpoint({ ...checkpoint(5), state: [short] })).rejects.toThrow(/4 bytes short/);
  });
});

const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('a checkpoint file that is whole and no run of this version', () => {
  /** The file with another text under `graft` in its header, and the hash that it then has. */
  async function withMetadata(graft: string): Promise<Uint8Array> {
    const body = writeSafetensors([tensor('a.lora_A.weight', [1, 2])], { graft });
    return Uint8Array.from([...encodeUtf8(`graft checkpoint 1\n${await sha256(body)}\n`), ...body]);
  }

  test.each([
    '{}',
    'null',
    '[1',
    '{"run": 1, "progress": {}}',
    '{"run": "seed: 1", "datasetHash": "d", "modelHash": "m", "progress": null}',
    '{"run": "seed: x", "datasetHash": "d", "modelHash": "m", "progress": {"step": 1}}',
    `{"run": ${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
  ])('is left aside: %.60s', async (graft) => {
    expect(await decodeCheckpoint(await withMetadata(graft))).toBeUndefined();
    const store = new MemoryStore();
    store.files.set('checkpoint-0', await withMetadata(graft));
    store.files.set('checkpoint-1', await encodeCheckpoint(checkpoint(3)));
    const { newest, torn } = await Checkpoints.find(store);
    expect([newest?.progress.step, torn]).toEqual([3, 1]);
  });
});

describe("a finished run's record", () => {
  const record = {
    summary: { steps: 3, epochs: 1, trainLoss: 2.5, bestEvalLoss: null, stopped: 'finished', seconds: 1 },
    dataset_sha256: 'd',
    model_sha256: 'm',
  };
  const folder = (sidecar: Uint8Array, runFile?: Uint8Array) => {
    const store = new MemoryStore();
    store.files.set('graft.json', sidecar);
    if (runFile) store.files.set('run.yaml', runFile);
    return store;
  };

  test.each(['', 'null', '{', '{}', '[]', '{"summary": null}', JSON.stringify({ ...record, summary: { steps: '3' } })])(
    'is refused by name where it is damaged: %s',
    async (text) => {
      const read = readFinishedRun(folder(encodeUtf8(text)));
      await expect(read).rejects.toMatchObject({
        code: 'bad-file',
        message: expect.stringMatching(/^graft\.json in memory is damaged/) as string,
      });
    },
  );

  test('and its run file where that is not UTF-8', async () => {
    const whole = encodeUtf8(JSON.stringify(record));
    expect((await readFinishedRun(folder(whole)))?.summary.steps).toBe(3);
    const read = readFinishedRun(folder(whole, Uint8Array.of(0x73, 0xff, 0xfe)));
    await expect(read).rejects.toMatchObject({
      code: 'bad-config',
      message: 'run.yaml in memory is not UTF-8 text: save it as UTF-8.',
    });
    await expect(readFinishedRun(folder(Uint8Array.of(0xff)))).rejects.toMatchObject({ code: 'bad-file' });
  });
});

describe('two slots', () => {
  const stepsIn = async (store: MemoryStore) =>
    Promise.all(CHECKPOINT_SLOTS.map(async (slot) => (await decodeCheckpoint(store.files.get(slot)!))?.progress.step));

  test('take turns, so that the checkpoint before is still there', async () => {
    const store = new MemoryStore();
    const slots = await Checkpoints.startAnew(store);
    for (const step of [5, 10, 15]) await slots.write(checkpoint(step));
    expect(await stepsIn(store)).toEqual([15, 10]);
    expect(slots.lastStep).toBe(15);
  });

  test('the newest is found, and the next write spares it', async () => {
    const store = new MemoryStore();
    const before = await Checkpoints.startAnew(store);
    for (const step of [5, 10, 15]) await before.write(checkpoint(step));
    const { slots, newest, torn } = await Checkpoints.find(store);
    expect([newest?.progress.step, torn]).toEqual([15, 0]);
    await slots.write(checkpoint(20));
    expect(await stepsIn(store)).toEqual([15, 20]);
  });

  test('a torn newest leaves the one before, and is written over next', async () => {
    const store = new MemoryStore();
    const before = await Checkpoints.startAnew(store);
    for (const step of [5, 10]) await before.write(checkpoint(step));
    store.files.set('checkpoint-1', store.files.get('checkpoint-1')!.slice(0, -1));
    const { slots, newest, torn } = await Checkpoints.find(store);
    expect([newest?.progress.step, torn]).toEqual([5, 1]);
    expect(await newestCheckpointStep(store)).toBe(5);
    await slots.write(checkpoint(10));
    expect(await stepsIn(store)).toEqual([5, 10]);
  });

  test('both torn is no checkpoint', async () => {
    const store = new MemoryStore();
    for (const slot of CHECKPOINT_SLOTS) store.files.set(slot, Uint8Array.of(1, 2, 3));
    const found = await Checkpoints.find(store);
    expect(found).toMatchObject({ torn: 2 });
    expect(found.newest).toBeUndefined();
  });

  test('a write that fails costs neither the newest nor its turn', async () => {
    const store = new MemoryStore();
    const slots = await Checkpoints.startAnew(store);
    for (const step of [5, 10]) await slots.write(checkpoint(step));
    store.beforeWrite = () => {
      throw new Error('disk full');
    };
    await expect(slots.write(checkpoint(15))).rejects.toThrow('disk full');
    expect(slots.lastStep).toBe(10);
    store.beforeWrite = () => undefined;
    await slots.write(checkpoint(15));
    expect(await stepsIn(store)).toEqual([15, 10]);
  });

  test('starting anew removes what an earlier run has left', async () => {
    const store = new MemoryStore();
    await (await Checkpoints.startAnew(store)).write(checkpoint(5));
    await Checkpoints.startAnew(store);
    expect([...store.files.keys()]).toEqual([]);
  });
});
