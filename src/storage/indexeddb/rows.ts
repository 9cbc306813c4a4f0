/** What comes back from the database, checked: another version of Graft or a damaged disk may have left anything there. */
import * as v from 'valibot';
import { ERROR_CODES } from '../../core/errors';
import type { LogRow } from '../../core/events';
import type { KeptModel, RunRecord } from '../../core/library';
import type { FileEntry } from './database';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

const Model = v.variant('kind', [
  v.object({ kind: v.literal('builtin'), name: v.string() }),
  v.object({ kind: v.literal('kept'), id: v.string(), name: v.string() }),
  v.object({
    kind: v.literal('hub'),
    name: v.string(),
    revision: v.string(),
    commit: v.nullable(v.string()),
    endpoint: v.optional(v.string()),
  }),
  v.object({ kind: v.literal('folder'), name: v.string() }),
]);

const Summary = v.object({
  steps: v.number(),
  epochs: v.number(),
  trainLoss: v.number(),
  bestEvalLoss: v.nullable(v.number()),
  stopped: v.picklist(['finished', 'early', 'cancelled']),
  seconds: v.number(),
});

/** Loose, so that what a newer version has added outlives a change by this one. */
const Run = v.looseObject({
  id: v.string(),
  name: v.string(),
  createdAt: v.number(),
  state: v.picklist(['running', 'finished', 'cancelled', 'failed', 'interrupted']),
  model: Model,
  datasetName: v.string(),
  step: v.number(),
  totalSteps: v.number(),
  checkpointStep: v.number(),
  summary: v.nullable(Summary),
  error: v.nullable(v.object({ code: v.picklist([...ERROR_CODES, 'internal']), message: v.string() })),
});

const DAMAGED = 'What this browser kept of this run is damaged: download what is left of its files, then delete it.';

/** Whether a record stands for one that was damaged. */
export function isDamagedRun({ error }: RunRecord): boolean {
  return error?.message === DAMAGED;
}

/** A run's record; a damaged one still names its run, which can be deleted, or downloaded from. */
export function runRow(id: string, found: unknown): RunRecord {
  const read = v.safeParse(Run, found);
  if (read.success && read.output.id === id) return read.output;
  return {
    id,
    name: nameOf(found) ?? 'A damaged run',
    createdAt: 0,
    state: 'failed',
    model: { kind: 'folder', name: 'a model that is no longer known' },
    datasetName: '',
    step: 0,
    totalSteps: 0,
    checkpointStep: 0,
    summary: null,
    error: { code: 'storage', message: DAMAGED },
  };
}

const Row = v.looseObject({
  epoch: v.number(),
  step: v.number(),
  loss: v.optional(v.number()),
  grad_norm: v.optional(v.number()),
  learning_rate: v.optional(v.number()),
  eval_loss: v.optional(v.number()),
  eval_runtime: v.optional(v.number()),
});

/** What an objective logs beside the loss has a name with a slash: `rewards/chosen`. */
function hasMetrics(row: object): boolean {
  return Object.entries(row).every(([name, value]) => !name.includes('/') || typeof value === 'number');
}

/** The rows of a log that are such. */
export function logRowsOf(found: readonly unknown[]): LogRow[] {
  return found.filter((row): row is LogRow => v.is(Row, row) && hasMetrics(row));
}

const Kept = v.object({
  id: v.string(),
  name: v.string(),
  bytes: count,
  fingerprint: v.string(),
  createdAt: v.number(),
});

/** The record of a model's copy; a damaged one still names the copy, which can be deleted. */
export function keptModelRow(id: string, found: unknown): KeptModel {
  const read = v.safeParse(Kept, found);
  if (read.success && read.output.id === id) return read.output;
  return { id, name: nameOf(found) ?? 'A damaged copy of a model', bytes: 0, fingerprint: '', createdAt: 0 };
}

const File = v.object({
  folder: v.string(),
  name: v.string(),
  size: count,
  version: v.string(),
  shards: v.array(v.object({ size: count, sha256: hash })),
});

/** A file's entry, or undefined where it is damaged. */
export function fileRow(found: unknown): FileEntry | undefined {
  const read = v.safeParse(File, found);
  if (!read.success) return undefined;
  const { size, shards } = read.output;
  return shards.reduce((sum, shard) => sum + shard.size, 0) === size ? read.output : undefined;
}

function nameOf(found: unknown): string | undefined {
  const name = (found as { name?: unknown } | null)?.name;
  return typeof name === 'string' && name !== '' ? name : undefined;
}
