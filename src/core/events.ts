/** What a long job says while it runs, and what it leaves: plain data that crosses the worker boundary. */
import type { Profile } from './profile';

/** One row of Transformers' `log_history`. */
export interface LogRow {
  epoch: number;
  step: number;
  loss?: number;
  grad_norm?: number;
  learning_rate?: number;
  eval_loss?: number;
  eval_runtime?: number;
  /** What an objective logs, as TRL names it: `rewards/chosen`, `eval_rewards/chosen`. */
  [metric: `${string}/${string}`]: number;
}

/** `trainer_state.json`, the fields that Transformers knows. */
export interface TrainerState {
  best_metric: number | null;
  best_model_checkpoint: string | null;
  epoch: number;
  eval_steps: number;
  global_step: number;
  is_hyper_param_search: boolean;
  is_local_process_zero: boolean;
  is_world_process_zero: boolean;
  log_history: LogRow[];
  logging_steps: number;
  max_steps: number;
  num_input_tokens_seen: number;
  num_train_epochs: number;
  save_steps: number;
  train_batch_size: number;
}

export type TrainEvent =
  | { kind: 'phase'; phase: 'loading' | 'planning' | 'training' | 'evaluating' | 'saving' | 'done'; detail: string }
  /** How many rows of the dataset are tokenised. */
  | { kind: 'reading'; rows: number; totalRows: number }
  | { kind: 'loading'; loadedBytes: number; totalBytes: number }
  /** How many of the run's kernels are compiled. */
  | { kind: 'compiling'; kernels: number; totalKernels: number }
  | {
      kind: 'plan';
      totalBytes: number;
      bytes: Record<string, number>;
      totalSteps: number;
      trainableParameters: number;
      totalParameters: number;
      /** Of a micro-batch of the longest rows, of an update, and of the evaluation of such a batch. */
      dispatches: { train: number; update: number; evaluate: number };
    }
  | { kind: 'resumed'; step: number }
  | { kind: 'step'; row: LogRow; tokensPerSecond: number; secondsLeft: number; totalSteps: number }
  | { kind: 'eval'; row: LogRow }
  /** Where the time of one step went. */
  | { kind: 'profile'; step: number; profile: Profile }
  | { kind: 'checkpoint'; step: number }
  | { kind: 'early-stop'; step: number; bestStep: number }
  | { kind: 'notice'; message: string };

export interface RunSummary {
  steps: number;
  epochs: number;
  trainLoss: number;
  bestEvalLoss: number | null;
  stopped: 'finished' | 'early' | 'cancelled';
  seconds: number;
}

/** A row of a dataset that can't be used, and why: the rest of a sentence that begins with the row. */
export interface SkippedRow {
  /** Which of the file's rows it is, counted from 1. */
  row: number;
  /** The line of the file on which it begins, where that is another number. */
  line?: number;
  reason: string;
}

/** One dataset example as it will be trained on. */
export interface ExampleView {
  /** 1-based row of the file. */
  row: number;
  /** The whole rendered text. */
  text: string;
  /** Tokens in order, with their text; `trained` where the label is not masked. */
  tokens: { id: number; text: string; trained: boolean }[];
}

export interface DataReport {
  /** Of the file, and those that are trained on. */
  rows: number;
  kept: number;
  format: string;
  templateSource: string;
  trainedTokens: number;
  totalTokens: number;
  longest: number;
  /** Rows longer than max_length, which are cut. */
  truncated: number;
  /** Rows that are left out, in the file's order. */
  skipped: SkippedRow[];
  /** Why a run can't take the rest: more can't be used than it allows. */
  refusal?: string;
  /** What the user should know before training beside the rows left out, a sentence or two each. */
  notices: string[];
  /** `histogram[i]` counts examples with length in [i·binWidth, (i+1)·binWidth). */
  histogram: number[];
  binWidth: number;
  examples: ExampleView[];
}
