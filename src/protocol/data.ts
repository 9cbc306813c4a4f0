/** Datasets: what a run would train on, before it is started. */
import type { RunConfig } from '../core/config';
import type { DataReport, ExampleView } from '../core/events';
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

export interface DatasetRef {
  /** Names this content: two refs with one id hold the same bytes. */
  id: string;
  /** A file name, or the name of a built-in set. */
  name: string;
  content: 'builtin' | Blob;
}

/** What stands in the field for pasted text. */
export interface PastedText {
  readonly text: string;
}

/** The dataset that a run of the library keeps. */
export interface RunDatasetRef {
  runId: string;
}

/** A model, a dataset and the settings: everything that a run is made of. */
export interface RunRequest {
  model: ModelRef;
  dataset: DatasetRef;
  config: RunConfig;
}

/** As `RunRequest`, where the data may be those of a run that goes on. */
export interface ReadRequest {
  model: ModelRef;
  dataset: DatasetRef | RunDatasetRef;
  config: RunConfig;
}

/** Rows of token ids in a few large arrays, which cross between workers without being copied. */
export interface PackedRows {
  /** 1-based row of the file, of each example. */
  rows: Int32Array<ArrayBuffer>;
  /** Where each sequence ends in `ids` and `labels`: an example, or a side of a pair. */
  ends: Int32Array<ArrayBuffer>;
  ids: Int32Array<ArrayBuffer>;
  /** As long as `ids`; -100 where not trained. */
  labels: Int32Array<ArrayBuffer>;
  /** Whether the examples are pairs, and both log-probabilities of the reference for each, where the rows have them. */
  isPaired: boolean;
  references: Float64Array<ArrayBuffer>;
  /** What a teacher says of each example, where it does: how many tokens at each of its own, and these with their log-probabilities. */
  teacher: { perToken: Int32Array<ArrayBuffer>; ids: Int32Array<ArrayBuffer>; logProbs: Float32Array<ArrayBuffer> };
}

/** A dataset as a model reads it: what `recipes/steps/data.ts` calls `ReadData`, packed. */
export interface PackedData {
  packed: PackedRows;
  /** Everything else of it, which is small. */
  facts: unknown;
}

/** What a tab of the browser is called, and, of a duplicate, the tab that it was made of. */
export interface TabRef {
  readonly name: string;
  readonly origin?: string;
}

export interface DataService {
  /** The dataset that a tab shows; kept so that a reload finds it again. */
  remember(tab: TabRef, ref: DatasetRef): Promise<void>;
  /** Of a new tab, what its origin or the last one had; `open` are the tabs that there are. */
  recall(tab: TabRef, open: readonly string[]): Promise<DatasetRef | null>;
  /** A tab's field for pasted text, kept as it stands, used or not. */
  rememberText(tab: TabRef, typed: PastedText): Promise<void>;
  recallText(tab: TabRef): Promise<PastedText | null>;
}

/** The columns of a file, to say by hand which of them is which field. */
export interface ColumnsReport {
  columns: { name: string; field: string | undefined; sample: string }[];
  /** Whether a first line names them: of a table, it could be a row as well. */
  isTable: boolean;
}

/** The report on the first rows of a file, with how many rows the whole has, by its size. */
export interface FirstRowsEvent {
  readonly kind: 'first';
  readonly report: DataReport;
  readonly estimatedRows: number;
}

/** Every row is cut before anything that would be trained: how long they are tells which limit would do. */
export interface CutRowsEvent {
  readonly kind: 'cut';
  /** Tokens of the longest row. */
  readonly longest: number;
}

export type DataJobs = {
  /** Reads the dataset as the run would: first its first rows, then the rest. */
  'data.inspect': JobKind<RunRequest, DataReport, FirstRowsEvent | CutRowsEvent>;
  /** The columns of a file by its beginning; null where it has none. */
  'data.columns': JobKind<{ dataset: DatasetRef }, ColumnsReport | null>;
  /** Examples `from` … `from + count - 1` of the rows that are kept, counted from 0. */
  'data.examples': JobKind<RunRequest & { from: number; count: number }, ExampleView[]>;
  /** For the GPU worker: everything that a run trains on. */
  'data.read': JobKind<ReadRequest, PackedData>;
};
