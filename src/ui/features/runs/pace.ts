/** How long a run will take, by how fast one like it went in this browser. */
import type { RunConfig } from '../../../core/config';
import type { DataReport } from '../../../core/events';
import { loadSetting, saveSetting } from '../../persisted';

const SETTING = 'pace-flops';

/** Seconds for a flop, by what sets the pace. */
type Paces = Readonly<Record<string, number>>;

/** Tokens that a run reads in all its steps, about. */
export function countTokens(
  report: Pick<DataReport, 'totalTokens' | 'kept'>,
  config: RunConfig,
  steps: number,
): number {
  const rows = config.per_device_train_batch_size * config.gradient_accumulation_steps * steps;
  return report.kept === 0 ? 0 : (report.totalTokens / report.kept) * rows;
}

/** What sets the pace beside the flops: the model, how it is kept, and what is computed twice. */
export function paceKey(modelName: string, config: RunConfig): string {
  const { load_in_4bit: isSmall, gradient_checkpointing: again, use_peft: adapter } = config;
  return [modelName, isSmall && '4 bits', again && 'checkpointed', !adapter && 'whole'].filter(Boolean).join(', ');
}

/** Undefined where nothing like it has run here. */
export function estimateSeconds(key: string, flops: number): number | undefined {
  const pace = loadPaces()[key];
  return pace === undefined || flops === 0 ? undefined : pace * flops;
}

/** What a run takes beside its arithmetic: kernels are compiled, weights and checkpoints written, in seconds. */
const BESIDE = 5;

/** The part of the rate of products that a run reaches as a whole. */
const EFFICIENCY = 0.5;

/** Before anything has run here: `rate` in flops a second of products. */
export function guessSeconds(flops: number, rate: number): number {
  return BESIDE + flops / (rate * EFFICIENCY);
}

export function notePace(key: string, flops: number, seconds: number): void {
  if (flops > 0 && seconds > 0) saveSetting(SETTING, { ...loadPaces(), [key]: seconds / flops });
}

function loadPaces(): Paces {
  return loadSetting(SETTING, {}, isPaces);
}

function isPaces(value: unknown): value is Paces {
  const isPositive = (pace: unknown) => typeof pace === 'number' && pace > 0 && Number.isFinite(pace);
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isPositive);
}
