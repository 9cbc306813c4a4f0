/** How other software uses what a run has left, once it is unpacked. */
import type { RunConfig } from '../core/config';
import type { FileSource } from '../core/store';
import { adapterUsage, modelUsage } from '../formats/model-card';
import { baseModelOf } from './steps/base-model';

export interface Usage {
  /** For Transformers and PEFT. */
  readonly python: string;
  /** For Graft's own command line. */
  readonly command: string;
  /** Where the base model is to be had, in a sentence, where other software can't find it by its name. */
  readonly whereabouts?: string;
}

/** `folder` is where the run's files are; `files` is what the base model was opened from, where that is known. */
export function describeUsage(run: RunConfig, folder: string, files?: Pick<FileSource, 'name'>): Usage {
  if (!run.use_peft) return { python: modelUsage(folder), command: `npx graft chat --model ${folder}` };
  const base = baseModelOf(run, files);
  const { hub, whereabouts } = base;
  const isBuiltIn = !hub && base.name === 'starter';
  const model = hub ? `${hub.id}@${hub.revision ?? 'main'}` : isBuiltIn ? base.name : 'path/to/the/base/model';
  return {
    python: adapterUsage(base, folder),
    command: `npx graft chat --model ${model} --adapter ${folder}`,
    ...(whereabouts !== undefined && { whereabouts }),
  };
}
