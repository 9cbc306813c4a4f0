/** How other software uses what a run has left, once it is unpacked. */
import type { AdapterSpec } from '../core/adapter';
import type { RunConfig } from '../core/config';
import type { FileSource } from '../core/store';
import { adapterUsage, modelUsage } from '../formats/model-card';
import { graftModel, servingOfFolder, type ServingLines } from '../formats/serving';
import { baseModelOf } from './steps/base-model';
import { loraSpec } from './steps/options';
import { savedPrompt } from './steps/prompt-tuning';

export interface Usage {
  /** For Transformers and PEFT. */
  readonly python: string;
  /** For Graft's own command line. */
  readonly command: string;
  /** For programs that serve models. */
  readonly servers: readonly ServingLines[];
  /** Where the base model is to be had, in a sentence, where other software can't find it by its name. */
  readonly whereabouts?: string;
}

/** `folder` is where the run's files are; `files` is what the base model was opened from, where that is known. */
export function describeUsage(run: RunConfig, folder: string, files?: Pick<FileSource, 'name'>): Usage {
  const base = baseModelOf(run, files);
  const servers = servingOfFolder(base, adapterOfRun(run), folder);
  if (!run.use_peft) return { python: modelUsage(folder), command: `npx graft chat --model ${folder}`, servers };
  const { whereabouts } = base;
  return {
    python: adapterUsage(base, folder),
    command: `npx graft chat --model ${graftModel(base)} --adapter ${folder}`,
    servers,
    ...(whereabouts !== undefined && { whereabouts }),
  };
}

/** What a run has left, as far as it matters to whoever serves it. */
function adapterOfRun(run: RunConfig): AdapterSpec {
  if (!run.use_peft) return {};
  const prompt = savedPrompt(run);
  if (prompt) return { prompt };
  const { lora_target_modules: modules } = run;
  return { lora: loraSpec(run, typeof modules === 'string' ? [modules] : modules) };
}
