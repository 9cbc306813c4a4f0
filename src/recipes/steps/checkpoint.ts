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
import { encodeUtf8, storedFile, writePieces, type FileSource, type RunStore, type StoredFile } from '../../core/store';
import { wholeTensor, type StateEntry, type StateTensor, type WeightTensor } from '../../core/weights';
import { RunningSha256 } from '../../core/running-hash';
import { inFileOrder, readHeader, safetensorsHeader, stateEntry, tensorBytes } from '../../formats/safetensors';
import { FINITE, parseRecord, WHOLE } from './records';
import type { Progress } from './trainer-state';

export const CHECKPOINT_SLOTS = ['checkpoint-0', 'checkpoint-1'] as const;

const MAGIC = 'graft checkpoint 1\n';
const HASH_LENGTH = 64 + 1;
const METADATA_KEY = 'graft';
const BEST_PREFIX = 'best.';
const BODY = 'body';

/** What is read at once of a file to hash it. */
const RANGE_BYTES = 4 * 2 ** 20;

export interface Checkpoint {
  /** The run as resolved. */
  readonly run: RunConfig;
  /** SHA-256 of the dataset file and of the model's weights. */
  readonly datasetHash: string;
  readonly modelHash: string;
  readonly progress: Progress;
  /** `TrainView.stateEntries`. */
  readonly state: readonly (StateTensor | StateEntry)[];
  /** The trained tensors at the lowest evaluation loss, where the run will want them back. */
  readonly best?: readonly (StateTensor | StateEntry)[] | undefined;
}

/** A checkpoint in a store: its tensors are read when they are asked for. */
export interface StoredCheckpoint extends Checkpoint {
  readonly state: readonly StateEntry[];
  readonly best?: readonly StateEntry[] | undefined;
}

/**
 * A checkpoint's file, piece by piece, so that a state of many gigabytes is never in memory. Its hash stands first, so that
 * the state is read twice: it must not change meanwhile.
 */
export function checkpointFile(checkpoint: Checkpoint): { size: number; pieces(): AsyncIterable<Uint8Array> } {
  const { run, datasetHash, modelHash, progress, state, best = [] } = checkpoint;
  const metadata = { run: formatRunConfig(run), datasetHash, modelHash, progress };
  const tensors = inFileOrder([...state, ...best.map((tensor) => ({ ...tensor, name: BEST_PREFIX + tensor.name }))]);
  const header = safetensorsHeader(tensors, { [METADATA_KEY]: JSON.stringify(metadata) });
  const start = MAGIC.length + HASH_LENGTH + header.byteLength;
  return {
    size: tensors.reduce((size, tensor) => size + tensorBytes(tensor), start),
    async *pieces() {
      const running = await RunningSha256.create();
      for await (const piece of bodyPieces(header, tensors)) running.update(piece);
      yield encodeUtf8(`${MAGIC}${running.digest()}\n`);
      yield* bodyPieces(header, tensors);
    },
  };
}

async function* bodyPieces(
  header: Uint8Array,
  tensors: readonly (StateTensor | StateEntry)[],
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const tensor of tensors) {
    let missing = tensorBytes(tensor);
    for await (const piece of 'bytes' in tensor ? [tensor.bytes] : tensor.pieces()) {
      missing -= piece.byteLength;
      yield piece;
    }
    if (missing !== 0) throw new RangeError(`${tensor.name} is ${missing} bytes short of ${tensor.shape.join(' × ')}`);
  }
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
 * that the file is whole, not that a run of this version wrote it. Its tensors are read from the file when they are asked
 * for.
 */
export async function readCheckpoint(file: StoredFile): Promise<StoredCheckpoint | undefined> {
  const headLength = MAGIC.length + HASH_LENGTH;
  const head = String.fromCharCode(...(await file.read(0, Math.min(headLength, file.size))));
  if (file.size < headLength || !head.startsWith(MAGIC)) return undefined;
  const running = await RunningSha256.create();
  for (let start = headLength; start < file.size; start += RANGE_BYTES) {
    running.update(await file.read(start, Math.min(file.size, start + RANGE_BYTES)));
  }
  if (head.slice(MAGIC.length, -1) !== running.digest()) return undefined;
  const content = await readContent(bodyOf(file, headLength)).catch((error: unknown) => {
    if (errorCode(error) === undefined) throw error;
  });
  if (!content) return undefined;
  const { parsed, run, tensors } = content;
  const best = tensors.filter(({ name, dtype }) => name.startsWith(BEST_PREFIX) && dtype !== 'u8');
  return {
    ...parsed,
    run,
    state: tensors.filter((tensor) => !best.includes(tensor)),
    best:
      best.length > 0 ? best.map((tensor) => ({ ...tensor, name: tensor.name.slice(BEST_PREFIX.length) })) : undefined,
  };
}

/** What follows the hash in a file, as the file of that name. */
function bodyOf(file: StoredFile, start: number): FileSource {
  const size = file.size - start;
  return {
    name: 'checkpoint',
    list: () => Promise.resolve([BODY]),
    size: () => Promise.resolve(size),
    read: (_, from = 0, to = size) => file.read(start + from, start + Math.min(to, size)),
  };
}

/** Undefined where the metadata isn't a checkpoint's. Throws where the run or the tensors can't be read. */
async function readContent(source: FileSource) {
  const { metadata, tensors } = await readHeader(source, BODY);
  const parsed = parseRecord(METADATA, metadata.get(METADATA_KEY));
  if (!parsed) return undefined;
  return { parsed, run: parseRunConfig(parsed.run), tensors: tensors.map((entry) => stateEntry(source, BODY, entry)) };
}

/** Weights of a state with all of their bytes; codes are left out. */
export async function wholeWeights(entries: readonly (StateTensor | StateEntry)[]): Promise<WeightTensor[]> {
  const weights: WeightTensor[] = [];
  for (const entry of entries) {
    if (entry.dtype !== 'u8') weights.push({ ...(await wholeTensor(entry)), dtype: entry.dtype });
  }
  return weights;
}

/** Whether a state has a frozen copy of what the run started from (`.reference`), which some objectives are held against. */
export function hasFrozenCopy(state: readonly Pick<StateTensor, 'name'>[]): boolean {
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
  static async find(store: RunStore): Promise<{ slots: Checkpoints; newest?: StoredCheckpoint; torn: number }> {
    let newest: { slot: number; checkpoint: StoredCheckpoint } | undefined;
    let torn = 0;
    for (const [slot, name] of CHECKPOINT_SLOTS.entries()) {
      const file = await storedFile(store, name);
      if (!file) continue;
      const checkpoint = await readCheckpoint(file);
      if (!checkpoint) torn++;
      else if (!newest || checkpoint.progress.step > newest.checkpoint.progress.step) newest = { slot, checkpoint };
    }
    if (!newest) return { slots: new Checkpoints(store, 0, 0), torn };
    const { slot, checkpoint } = newest;
    return { slots: new Checkpoints(store, 1 - slot, checkpoint.progress.step), newest: checkpoint, torn };
  }

  /** Writes into the slot that doesn't hold the newest. */
  async write(checkpoint: Checkpoint): Promise<void> {
    const { size, pieces } = checkpointFile(checkpoint);
    await writePieces(this.store, CHECKPOINT_SLOTS[this.next]!, size, pieces());
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
