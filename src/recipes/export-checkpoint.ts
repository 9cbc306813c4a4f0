/** What a run that was cut off has reached: its newest checkpoint as an adapter folder, or as a model's. No GPU needed. */
import type { AdapterSpec } from '../core/adapter';
import { formatRunConfig, type RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { encodeUtf8, type FileSource, type RunStore } from '../core/store';
import type { WeightTensor } from '../core/weights';
import { adapterFiles, type AdapterFile } from '../formats/peft';
import { writeSafetensors } from '../formats/safetensors';
import type { AskedModel } from '../formats/asked-model';
import { withTemplateOf } from '../formats/saved-template';
import { memorySource } from '../formats/sources';
import { openTextModel } from '../formats/text-model';
import { isCommit } from '../hub/names';
import { baseModelOf } from './steps/base-model';
import { Checkpoints, wholeWeights, type StoredCheckpoint } from './steps/checkpoint';
import { ADAPTER_TEXT_FILES, isTied, modelFolderFiles, NOT_ASKED } from './steps/model-folder';
import { loraSpec } from './steps/options';
import { savedPrompt } from './steps/prompt-tuning';

/**
 * The files of the newest whole checkpoint in `run`, ready to use. `openModel` finds the base model's folder, which is
 * needed where every parameter was trained; `base` is what it was opened from, where that is known.
 * @throws `not-found` where the run has no checkpoint
 */
export async function exportCheckpoint(
  run: RunStore,
  openModel: (nameOrPath: string, revision: string) => Promise<FileSource>,
  base?: Pick<FileSource, 'name'>,
): Promise<{ step: number; files: AdapterFile[] }> {
  const { newest } = await Checkpoints.find(run);
  if (!newest) {
    throw new GraftError(
      'not-found',
      `${run.name} holds no checkpoint: a finished run has none, its result is in the folder itself.`,
    );
  }
  return { step: newest.progress.step, files: await checkpointFolder(newest, run, openModel, base) };
}

/** A checkpoint as a folder: what the run would leave if it ended there, or the last weights where their `best` is left out. */
export async function checkpointFolder(
  newest: StoredCheckpoint,
  run: RunStore,
  openModel: (nameOrPath: string, revision: string) => Promise<FileSource>,
  base?: Pick<FileSource, 'name'>,
): Promise<AdapterFile[]> {
  const runFile = { name: 'run.yaml', bytes: new Uint8Array(encodeUtf8(formatRunConfig(newest.run))) };
  const texts = await templateFiles(run);
  const trained = newest.run.use_peft
    ? [...(await adapterOf(newest, base)), ...texts]
    : await modelOf(newest, openModel, memorySource(run.name, filesByName(texts)));
  return [...trained, runFile];
}

async function adapterOf(checkpoint: StoredCheckpoint, base?: Pick<FileSource, 'name'>): Promise<AdapterFile[]> {
  const { run, progress } = checkpoint;
  return adapterFiles({
    ...savedAdapter(run),
    baseModel: run.model_name_or_path,
    ...(isCommit(run.revision) && { revision: run.revision }),
    tensors: await trainedTensors(checkpoint),
    card: {
      base: baseModelOf(run, base),
      ...(run.dataset !== undefined && { dataset: run.dataset }),
      facts: { Checkpoint: `after step ${progress.step}, before the end of the run` },
      runYaml: formatRunConfig(run),
    },
  });
}

function savedAdapter(run: RunConfig): AdapterSpec {
  const prompt = savedPrompt(run);
  if (prompt) return { prompt };
  const { lora_target_modules: modules } = run;
  if (typeof modules === 'string') throw new Error('a checkpoint names the modules that its run trains');
  return { lora: loraSpec(run, modules) };
}

/** The chat template that the run trains, where it is another than the base model's, and what goes with it. */
async function templateFiles(run: RunStore): Promise<AdapterFile[]> {
  const files: AdapterFile[] = [];
  for (const name of ADAPTER_TEXT_FILES) {
    const bytes = await run.read(name);
    if (bytes) files.push({ name, bytes: new Uint8Array(bytes) });
  }
  return files;
}

function filesByName(files: readonly AdapterFile[]): Record<string, Uint8Array> {
  return Object.fromEntries(files.map(({ name, bytes }) => [name, bytes]));
}

async function modelOf(
  checkpoint: StoredCheckpoint,
  openModel: (nameOrPath: string, revision: string) => Promise<FileSource>,
  template: FileSource,
): Promise<AdapterFile[]> {
  const base = await openModel(checkpoint.run.model_name_or_path, checkpoint.run.revision);
  const tensors = await trainedTensors(checkpoint);
  const hasTokenizer = (await base.size('tokenizer.json')) !== undefined;
  const opened = hasTokenizer ? await withTemplateOf<AskedModel>(await openTextModel(base), template) : NOT_ASKED;
  const asked = opened.template?.source === 'alpaca' ? NOT_ASKED : opened;
  return [
    { name: 'model.safetensors', bytes: writeSafetensors(tensors, { format: 'pt' }) },
    ...(await modelFolderFiles(base, { asked, tied: isTied(tensors), dtype: 'float32' })),
  ];
}

/** What the run would leave if it ended here: the best tensors where it keeps them, else the last. */
function trainedTensors({ best, state }: StoredCheckpoint): Promise<readonly WeightTensor[]> {
  return wholeWeights(best ?? state.filter((entry) => !isMoment(entry)));
}

/** Moments carry their parameter's name with an ending, the scales of 8-bit ones with one more. */
export function isMoment({ name }: Pick<WeightTensor, 'name'>): boolean {
  return /\.exp_avg(_sq)?(\.absmax)?$/.test(name);
}
