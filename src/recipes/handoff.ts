/** A run for another trainer: its data as the model reads them, what it has learned so far, and how to go on with it. */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import { evaluationSteps } from '../core/evaluation-steps';
import { sha256 } from '../core/hash';
import type { FileSource, RunStore } from '../core/store';
import { parseDataset, type Example } from '../data/dataset';
import type { TokenizedExample } from '../data/tokenize-example';
import {
  accelerateHandoff,
  axolotlHandoff,
  llamaFactoryHandoff,
  PARTS,
  textFile,
  trlHandoff,
  type Handoff,
  type HandoffFile,
  type HandoffPlan,
  type StepToDo,
  type Turns,
} from '../formats/handoff';
import { GENERATION_CONFIG } from '../formats/generation-config';
import type { HubModel } from '../formats/model';
import { withTemplateOf } from '../formats/saved-template';
import { checkpointFolder, isMoment } from './export-checkpoint';
import { schedule, warmupSteps } from './schedules';
import { baseModelOf } from './steps/base-model';
import { Checkpoints, wholeWeights, type StoredCheckpoint } from './steps/checkpoint';
import { prepareData, type DatasetFile, type PreparedData } from './steps/data';
import { ADAPTER_TEXT_FILES } from './steps/model-folder';
import { readFinished, writtenTemplate } from './steps/outputs';
import { withRunTemplate } from './steps/run-template';
import { epochShape, StepOrder } from './steps/step-order';
import { epochsAt, evaluationIsDue, roundEpoch, trainerState } from './steps/trainer-state';

export const HANDOFF_TARGETS = ['trl', 'accelerate', 'axolotl', 'llamafactory'] as const;
export type HandoffTarget = (typeof HANDOFF_TARGETS)[number];

export interface HandoffInput {
  /** The folder of a run that isn't finished. */
  readonly store: RunStore;
  readonly model: HubModel;
  /** The base model's folder, and what other software on this computer opens it by where it is not on the Hub. */
  readonly modelFiles: FileSource;
  readonly modelPath: string;
  readonly dataset: DatasetFile;
  readonly to: HandoffTarget;
}

export interface HandedOff extends Handoff {
  /** The step that it goes on after. */
  readonly step: number;
  readonly totalSteps: number;
}

/** The newest whole checkpoint of a run that isn't finished. Throws `not-found` where there is none. */
export async function checkpointToHandOn(store: RunStore): Promise<StoredCheckpoint> {
  const { newest } = await Checkpoints.find(store);
  if (newest) return newest;
  const isFinished = (await readFinished(store)) !== undefined;
  throw new GraftError(
    'not-found',
    isFinished
      ? `${store.name} is finished, with no step left to hand on: train it for more epochs, and stop it on the way.`
      : `${store.name} holds no checkpoint: it takes a run that was stopped on the way, which has written one.`,
  );
}

/**
 * The files for a trainer, and what of the run it does otherwise.
 * @throws `not-found` where the run has no checkpoint, `bad-config` where the data changed, `unsupported` for what the
 *   trainer can't be told
 */
export async function handOff(input: HandoffInput, signal?: AbortSignal): Promise<HandedOff> {
  const { store, dataset, to } = input;
  const checkpoint = await checkpointToHandOn(store);
  const { run, progress } = checkpoint;
  if (run.method !== 'sft') {
    throw new GraftError('unsupported', `method: ${run.method} is handed to no other trainer yet; sft is.`);
  }
  if ((await sha256(dataset.bytes)) !== checkpoint.datasetHash) {
    throw new GraftError('bad-config', `${dataset.name} is not the dataset that this run trains on: give it the same.`);
  }
  const template = await writtenTemplate(store);
  const asked = withRunTemplate(run, template ? await withTemplateOf(input.model, template) : input.model);
  const data = await prepareData(run, asked, dataset, undefined, signal);
  const plan = planHandoff(input, run, progress.step, data, template !== undefined);
  const learned = await checkpointFolder(
    { ...checkpoint, best: undefined },
    store,
    () => Promise.resolve(input.modelFiles),
    input.modelFiles,
  );
  const trained = run.use_peft ? PARTS.adapter : PARTS.model;
  const copies = learned.map(({ name }) => name).filter((name) => BESIDE_WEIGHTS.includes(name));
  const padTokenId = asked.tokenizer?.padTokenId ?? 0;
  const handed = await targetFiles(to, plan, { checkpoint, data, dataset, copies, padTokenId });
  const folder = { ...handed, step: progress.step, totalSteps: data.totalSteps };
  return {
    ...folder,
    files: [
      ...handed.files,
      ...(to === 'llamafactory' ? [] : tokenFiles(data)),
      ...learned.map(({ name, bytes }): HandoffFile => ({ path: `${trained}/${name}`, bytes })),
      readme(to, folder),
    ],
  };
}

/** What belongs beside the weights that come out, as it did beside those that went in. */
const BESIDE_WEIGHTS: readonly string[] = [...ADAPTER_TEXT_FILES, GENERATION_CONFIG];

function planHandoff(
  { modelFiles, modelPath }: HandoffInput,
  run: RunConfig,
  stepsDone: number,
  data: PreparedData,
  hasOwnTemplate: boolean,
): HandoffPlan {
  const { hub, ggufFile } = baseModelOf(run, modelFiles);
  if (ggufFile !== undefined) {
    throw new GraftError(
      'unsupported',
      `The base model is a GGUF file, ${ggufFile}: other trainers take a model folder.`,
    );
  }
  return {
    run,
    model: hub?.id ?? modelPath,
    revision: hub?.revision,
    stepsDone,
    totalSteps: data.totalSteps,
    warmupSteps: run.lr_scheduler_type === 'constant' ? 0 : warmupSteps(run, data.totalSteps),
    learningRate: schedule(run, data.totalSteps)(stepsDone),
    hasTest: data.eval.length > 0,
    hasOwnTemplate,
  };
}

/** What the trainers' files are made of, beside the plan. */
interface HandoffSources {
  readonly checkpoint: StoredCheckpoint;
  readonly data: PreparedData;
  readonly dataset: DatasetFile;
  readonly copies: readonly string[];
  readonly padTokenId: number;
}

async function targetFiles(to: HandoffTarget, plan: HandoffPlan, sources: HandoffSources): Promise<Handoff> {
  const { checkpoint, data, dataset, copies, padTokenId } = sources;
  switch (to) {
    case 'trl':
      return trlHandoff(plan);
    case 'axolotl':
      return axolotlHandoff(plan);
    case 'llamafactory': {
      const turns = await turnsOf(plan.run, dataset);
      return llamaFactoryHandoff(plan, data.train.map(turns), data.eval.flat().map(turns));
    }
    case 'accelerate': {
      const { run, progress, state } = checkpoint;
      const moments = state.filter((entry) => isMoment(entry));
      const isExact = moments.every(({ dtype }) => dtype === 'f32');
      const shape = epochShape(run, data);
      return accelerateHandoff(plan, {
        epoch: roundEpoch(epochsAt(progress.step, shape)),
        evaluateFirst: evaluationIsDue(progress, run, data.totalSteps),
        steps: stepsToDo(run, data, progress.step),
        moments: isExact ? await wholeWeights(moments) : [],
        trainerState: trainerState(progress, run, shape),
        padTokenId,
        copies,
      });
    }
  }
}

/** The steps that are left, with the rows that Graft would take: packed ones are the same documents, side by side. */
function stepsToDo(run: RunConfig, data: PreparedData, done: number): StepToDo[] {
  const places = new Map(data.train.map((example, index) => [example, index]));
  const [order, rate, shape] = [new StepOrder(run, data), schedule(run, data.totalSteps), epochShape(run, data)];
  const every = evaluationSteps(run, data.totalSteps);
  return Array.from({ length: data.totalSteps - done }, (_, i) => {
    const step = done + i + 1;
    return {
      step,
      epoch: roundEpoch(epochsAt(step, shape)),
      learning_rate: rate(step - 1),
      rows: order
        .rowsOf(step - 1)
        .flatMap((batch) => batch.flatMap((row) => row.map((example) => places.get(example)!))),
      evaluate: step % every === 0 || step === data.totalSteps,
    };
  });
}

/** The rows as tokens, masked as Graft masks them: no template has to be read again. */
function tokenFiles(data: PreparedData): HandoffFile[] {
  const held = data.eval.flat();
  return [
    textFile(PARTS.train, data.train.map(tokenLine).join('')),
    ...(held.length > 0 ? [textFile(PARTS.test, held.map(tokenLine).join(''))] : []),
  ];
}

function tokenLine({ inputIds, labels }: TokenizedExample): string {
  return `${JSON.stringify({ input_ids: inputIds, attention_mask: inputIds.map(() => 1), labels })}\n`;
}

/** Finds the conversation that an example was made of. */
async function turnsOf(run: RunConfig, { name, bytes }: DatasetFile): Promise<(example: TokenizedExample) => Turns> {
  const { examples } = await parseDataset(name, bytes, { mapping: run.dataset_mapping });
  const rows = new Map(examples.map((example) => [example.row, example]));
  return ({ row }) => conversationOf(rows.get(row)!, run);
}

function conversationOf(example: Example, run: RunConfig): Turns {
  const { where } = example;
  if (example.kind !== 'conversation') return { where, messages: undefined, isTrainedWhole: true };
  const { messages, ...more } = example.conversation;
  const isPlain = Object.keys(more).length === 0 && messages.every((message) => Object.keys(message).length === 2);
  return {
    where,
    messages: isPlain ? messages.map(({ role, content }) => ({ role, content: content ?? '' })) : undefined,
    isTrainedWhole: example.untrained.length === 0 || !run.assistant_only_loss,
  };
}

function readme(to: HandoffTarget, { commands, leftOut, step, totalSteps }: HandedOff): HandoffFile {
  const lines = [
    `# A run of Graft for ${to}`,
    '',
    `It was stopped after step ${step} of ${totalSteps}. In this folder:`,
    '',
    ...commands.map((command) => `    ${command}`),
    '',
    ...leftOut.map((sentence) => `- ${sentence}`),
    '',
    'What comes out is an adapter in the format of PEFT, or a model folder: Graft opens either (`--adapter`, `--model`).',
    '',
  ];
  return textFile('README.md', lines.join('\n'));
}
