/**
 * Checkpoints: everything that a run needs to go on as if nothing had happened, in one file of one of two slots. The
 * slots take turns, so that whatever happens to a write, the checkpoint before it is still there.
 *
 * A file is a line of magic, the SHA-256 of all that follows (64 hexadecimal digits and a newline), and a safetensors
 * file: trained tensors, both moments, the best adapter under `best.`, and the counters as JSON in its metadata.
 */
import * as v from 'valibot';
import { parseRunConfig, formatRunConfig, type RunConfig } from '../../core/config';
import { errorCode } from '../../core/errors';
import { encodeUtf8, type RunStore } from '../../core/store';
import type { StateTensor, WeightTensor } from '../../core/weights';
import { readHeader, readState, writeSafetensors } from '../../formats/safetensors';
import { memorySource } from '../../formats/sources';
import { sha256 } from '../../core/hash';
import { FINITE, parseRecord, WHOLE } from './records';
import type { Progress } from './trainer-state';

export const CHECKPOINT_SLOTS = ['checkpoint-0', 'checkpoint-1'] as const;

const MAGIC = 'graft checkpoint 1\n';
const HASH_LENGTH = 64 + 1;
const METADATA_KEY = 'graft';
const BEST_PREFIX = 'best.';

export interface Checkpoint {
  /** The run as resolved. */
  readonly run: RunConfig;
  /** SHA-256 of the dataset file and of the model's weights. */
  readonly datasetHash: string;
  readonly modelHash: string;
  readonly progress: Progress;
  /** `TrainSession.exportState`. */
  readonly state: readonly StateTensor[];
  /** The trained tensors at the lowest evaluation loss, where the run will want them back. */
  readonly best?: readonly WeightTensor[] | undefined;
}

export async function encodeCheckpoint(checkpoint: Checkpoint): Promise<Uint8Array> {
  const { run, datasetHash, modelHash, progress, state, best = [] } = checkpoint;
  const metadata = { run: formatRunConfig(run), datasetHash, modelHash, progress };
  const body = writeSafetensors([...state, ...best.map((tensor) => ({ ...tensor, name: BEST_PREFIX + tensor.name }))], {
    [METADATA_KEY]: JSON.stringify(metadata),
  });
  const head = encodeUtf8(`${MAGIC}${await sha256(body)}\n`);
  const file = new Uint8Array(head.byteLength + body.byteLength);
  file.set(head);
  file.set(body, head.byteLength);
  return file;
}

/** Beside these, what an objective logs. */
const METRICS = v.record(v.string(), FINITE);

const LOG_ROW = v.objectWithRest(
  {
    epoch: FINITE,
    step: WHOLE,
    loss: v.optional(FINITE),
    grad_norm: v.optional(FINITE),
    learning_rate: v.optional(FINITE),
    eval_loss: v.optional(FINITE),
    eval_runtime: v.optional(FINITE),
  },
  FINITE,
);

/** What a checkpoint's metadata holds. */
const METADATA = v.object({
  run: v.string(),
  datasetHash: v.string(),
  modelHash: v.string(),
  progress: v.object({
    step: WHOLE,
    log: v.array(LOG_ROW),
    lossSum: FINITE,
    unlogged: v.object({ lossSum: FINITE, steps: WHOLE, metricSums: v.optional(METRICS) }),
    tokensSeen: WHOLE,
    seconds: FINITE,
    best: v.nullable(v.object({ loss: FINITE, step: WHOLE })),
    evaluationsWithoutBetter: WHOLE,
  }),
});

/**
 * The checkpoint in a file, or undefined where the file is torn, truncated or something else. A hash that is right says
 * that the file is whole, not that a run of this version wrote it.
 */
export async function decodeCheckpoint(file: Uint8Array): Promise<Checkpoint | undefined> {
  const headLength = MAGIC.length + HASH_LENGTH;
  const head = String.fromCharCode(...file.subarray(0, headLength));
  if (file.byteLength < headLength || !head.startsWith(MAGIC)) return undefined;
  const body = file.subarray(headLength);
  if (head.slice(MAGIC.length, -1) !== (await sha256(body))) return undefined;
  const content = await readContent(body).catch((error: unknown) => {
    if (errorCode(error) === undefined) throw error;
  });
  if (!content) return undefined;
  const { parsed, run, tensors } = content;
  const best: WeightTensor[] = [];
  const state: StateTensor[] = [];
  for (const tensor of tensors) {
    const { name, dtype } = tensor;
    if (name.startsWith(BEST_PREFIX) && dtype !== 'u8') {
      best.push({ ...tensor, dtype, name: name.slice(BEST_PREFIX.length) });
    } else {
      state.push(tensor);
    }
  }
  return {
    ...parsed,
    run,
    state,
    best: best.length > 0 ? best : undefined,
  };
}

/** Undefined where the metadata isn't a checkpoint's. Throws where the run or the tensors can't be read. */
async function readContent(body: Uint8Array) {
  const source = memorySource('checkpoint', { body });
  const { metadata } = await readHeader(source, 'body');
  const parsed = parseRecord(METADATA, metadata.get(METADATA_KEY));
  if (!parsed) return undefined;
  return { parsed, run: parseRunConfig(parsed.run), tensors: await readState(source, 'body') };
}

/** Whether a state has a frozen copy of what the run started from (`.reference`), which some objectives are held against. */
export function hasFrozenCopy(state: readonly StateTensor[]): boolean {
  return state.some(({ name }) => name.endsWith('.reference'));
}

/** The two slots of one run. */
export class Checkpoints {
  private constructor(
    private readonly store: RunStore,
    private next: number,
    /** The step of the newest checkpoint, 0 where there is none. */
    private newest: number,
  ) {}

  get lastStep(): number {
    return this.newest;
  }

  /** Removes what an earlier run has left. */
  static async startAnew(store: RunStore): Promise<Checkpoints> {
    for (const slot of CHECKPOINT_SLOTS) await store.remove(slot);
    return new Checkpoints(store, 0, 0);
  }

  /** Finds the newest whole checkpoint; `torn` counts slots that hold something else. */
  static async find(store: RunStore): Promise<{ slots: Checkpoints; newest?: Checkpoint; torn: number }> {
    let newest: { slot: number; checkpoint: Checkpoint } | undefined;
    let torn = 0;
    for (const [slot, name] of CHECKPOINT_SLOTS.entries()) {
      const file = await store.read(name);
      if (!file) continue;
      const checkpoint = await decodeCheckpoint(file);
      if (!checkpoint) torn++;
      else if (!newest || checkpoint.progress.step > newest.checkpoint.progress.step) newest = { slot, checkpoint };
    }
    if (!newest) return { slots: new Checkpoints(store, 0, 0), torn };
    const { slot, checkpoint } = newest;
    return { slots: new Checkpoints(store, 1 - slot, checkpoint.progress.step), newest: checkpoint, torn };
  }

  /** Writes into the slot that doesn't hold the newest. */
  async write(checkpoint: Checkpoint): Promise<void> {
    await this.store.write(CHECKPOINT_SLOTS[this.next]!, await encodeCheckpoint(checkpoint));
    this.next = 1 - this.next;
    this.newest = checkpoint.progress.step;
  }

  async removeAll(): Promise<void> {
    for (const slot of CHECKPOINT_SLOTS) await this.store.remove(slot);
  }
}

/** The step of a run's newest whole checkpoint, or undefined where it has none. */
export async function newestCheckpointStep(store: RunStore): Promise<number | undefined> {
  return (await Checkpoints.find(store)).newest?.progress.step;
}
