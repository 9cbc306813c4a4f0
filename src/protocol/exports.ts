/** Files to download. */
import type { GgufFileType } from '../core/gguf-file-types';
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
  /** For programs that serve models, a few lines each. */
  readonly servers: readonly { readonly title: string; readonly text: string }[];
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

/** What was read back of an export, and is the model. */
export interface Checked {
  /** What is otherwise where it is used, a sentence each. */
  notices: string[];
  /** How near its answers are; absent where the model was too large to ask both. */
  answers?: {
    /** Of all logits, the size of the difference over their own, and most that it may be. */
    logitError: number;
    tolerance: number;
    /** Prompts whose greedy answers are the same. */
    sameAnswers: number;
    prompts: number;
  };
}

export interface CheckedFile extends ExportedFile, Checked {
  /** The model card, with what was checked. */
  card: string;
  /** For Ollama, beside the file under its name; absent where the chat template can't be said there, which a notice says. */
  modelfile?: string;
}

export interface CheckedFolder extends Checked {
  files: ExportedFile[];
}

export type ExportJobs = {
  /**
   * The run's model with its adapter merged in, as one GGUF file `fileName`, held against the model on questions of the run's data.
   * @throws `bad-file` where the file is not the model, with what differs
   */
  'exports.gguf': JobKind<{ runId: string; model: ModelRef; type: GgufFileType; fileName: string }, CheckedFile>;
  /** The run's model with its adapter merged in: a whole model folder `folder`, with its card, held against the model likewise. */
  'exports.merge': JobKind<{ runId: string; model: ModelRef; folder: string }, CheckedFolder>;
};
