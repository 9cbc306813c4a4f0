/** What a run that was cut off has reached: its newest checkpoint as an adapter folder, or as a model's. No GPU needed. */
import { formatRunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { encodeUtf8, type FileSource, type RunStore } from '../core/store';
import type { WeightTensor } from '../core/weights';
import { adapterFiles, type AdapterFile } from '../formats/peft';
import { writeSafetensors } from '../formats/safetensors';
import { isCommit } from '../hub/names';
import { Checkpoints, type Checkpoint } from './steps/checkpoint';
import { modelFolderFiles } from './steps/model-folder';
import { loraSpec } from './steps/options';

/**
 * The files of the newest whole checkpoint in `run`, ready to use. `openModel` finds the base model's folder, which is
 * needed where every parameter was trained.
 * @throws `not-found` where the run has no checkpoint
 */
export async function exportCheckpoint(
  run: RunStore,
  openModel: (nameOrPath: string, revision: string) => Promise<FileSource>,
): Promise<{ step: number; files: AdapterFile[] }> {
  const { newest } = await Checkpoints.find(run);
  if (!newest) {
    throw new GraftError(
      'not-found',
      `${run.name} holds no checkpoint: a finished run has none, its result is in the folder itself.`,
    );
  }
  const { step } = newest.progress;
  const runFile = { name: 'run.yaml', bytes: new Uint8Array(encodeUtf8(formatRunConfig(newest.run))) };
  const trained = newest.run.use_peft ? adapterOf(newest) : await modelOf(newest, openModel);
  return { step, files: [...trained, runFile] };
}

function adapterOf(checkpoint: Checkpoint): AdapterFile[] {
  const { run, progress } = checkpoint;
  const { lora_target_modules: modules } = run;
  if (typeof modules === 'string') throw new Error('a checkpoint names the modules that its run trains');
  return adapterFiles({
    lora: loraSpec(run, modules),
    baseModel: run.model_name_or_path,
    ...(isCommit(run.revision) && { revision: run.revision }),
    tensors: trainedTensors(checkpoint),
    card: {
      ...(run.dataset !== undefined && { dataset: run.dataset }),
      facts: { Checkpoint: `after step ${progress.step}, before the end of the run` },
      runYaml: formatRunConfig(run),
    },
  });
}

async function modelOf(
  checkpoint: Checkpoint,
  openModel: (nameOrPath: string, revision: string) => Promise<FileSource>,
): Promise<AdapterFile[]> {
  const modelFiles = await openModel(checkpoint.run.model_name_or_path, checkpoint.run.revision);
  return [
    { name: 'model.safetensors', bytes: writeSafetensors(trainedTensors(checkpoint), { format: 'pt' }) },
    ...(await modelFolderFiles(modelFiles, 'float32')),
  ];
}

/** What the run would leave if it ended here: the best tensors where it keeps them, else the last. */
function trainedTensors({ best, state }: Checkpoint): readonly WeightTensor[] {
  return (
    best ?? state.flatMap(({ dtype, ...tensor }) => (dtype === 'u8' || isMoment(tensor) ? [] : [{ ...tensor, dtype }]))
  );
}

/** Moments carry their parameter's name with an ending, the scales of 8-bit ones with one more. */
function isMoment({ name }: Pick<WeightTensor, 'name'>): boolean {
  return /\.exp_avg(_sq)?(\.absmax)?$/.test(name);
}
