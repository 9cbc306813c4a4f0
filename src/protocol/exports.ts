/** Files to download. */
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

export interface ExportedFile {
  name: string;
  blob: Blob;
}

/** How other software uses what a run has left. */
export interface Usage {
  /** For Transformers and PEFT. */
  readonly python: string;
  /** For Graft's own command line. */
  readonly command: string;
  /** Where the base model is to be had, in a sentence, where other software can't find it by its name. */
  readonly whereabouts?: string;
}

export interface ExportsService {
  /** The run's downloadable files, or those named. */
  run(runId: string, names?: string[]): Promise<ExportedFile[]>;
  /** What an unfinished run had learned by its last checkpoint, as an adapter's (or a model's) folder. */
  checkpoint(runId: string): Promise<ExportedFile[]>;
  /** `folder` is where the run's files are put. */
  usage(runId: string, folder: string): Promise<Usage>;
}

export type ExportJobs = {
  /** The run's model with its adapter merged in: a whole model folder. */
  'exports.merge': JobKind<{ runId: string; model: ModelRef }, ExportedFile[]>;
};
