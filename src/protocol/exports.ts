/** Files to download. */
import type { JobKind } from './jobs';
import type { ModelRef } from './models';

export interface ExportedFile {
  name: string;
  blob: Blob;
}

export interface ExportsService {
  /** The run's downloadable files, or those named. */
  run(runId: string, names?: string[]): Promise<ExportedFile[]>;
  /** What an unfinished run had learned by its last checkpoint, as an adapter's (or a model's) folder. */
  checkpoint(runId: string): Promise<ExportedFile[]>;
}

export type ExportJobs = {
  /** The run's model with its adapter merged in: a whole model folder. */
  'exports.merge': JobKind<{ runId: string; model: ModelRef }, ExportedFile[]>;
};
