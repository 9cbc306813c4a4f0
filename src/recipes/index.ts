/** What the page's worker and the command line may do. Each recipe reads top to bottom; they share src/recipes/steps. */
export { openEngine } from '../engine';
export type { DeviceInfo, DeviceOptions, Engine, MemoryPlan } from '../engine';
export { contextLengthFor, planAnswers, refuseUnshownSystem, showsSystem } from './answering';
export { combineAdapters } from './combine-adapters';
export { COMBINATION_TYPES, type CombinationType } from './steps/combine-updates';
export { describeQuestions, evaluate, obstacleOf, questionsOf, type EvaluatedAnswer, type Question } from './evaluate';
export { exportCheckpoint } from './export-checkpoint';
export { CARD, describeExport, type CardInput } from './export-card';
export { serverOptions } from './server-options';
export { finetune, type FinetuneInput } from './finetune';
export { checkpointToHandOn, handOff, HANDOFF_TARGETS, type HandoffTarget } from './handoff';
export { exportGguf, exportLora, type GgufInput } from './export-gguf';
export { exportInt4, type Int4Options } from './export-int4';
export { readCalibration } from './steps/calibration';
export { exportOllama, MODELFILE, modelfileOf, verifyModelfile, type OllamaInput } from './export-ollama';
export { preparePush, type PushedFiles } from './push';
export { forward, type ForwardInput, type ForwardOutput } from './forward';
export { openGenerator, type GeneratorOptions } from './generate';
export { findColumns } from '../data/columns';
export { exampleView, exampleViews, inspectPrepared, prepareData, sidesOf } from './inspect';
export type { DatasetFile, PreparedData, TextModel } from './inspect';
export { mergeModel, type MergeInput } from './merge';
export { verifyExport, verifyLora, type Verification, type VerifyInput } from './verify';
export { fitToBudget, type Choice, type FittedRun } from './fit';
export { countDecodeDispatches, planRun, type RunPlan } from './plan';
export {
  arrangeData,
  checkBadRows,
  arrangementKey,
  readData,
  readFirstRows,
  readingKey,
  type DatasetHead,
  type ReadData,
} from './steps/data';
export { packData, unpackData, type DataFacts, type PackedExamples } from './steps/packed-data';
export { unreadVariables, withRunTemplate, withTemplateOfRun, type TemplateKeys } from './steps/run-template';
export { renderRows, type RenderedRow } from './render';
export type { ModelCache } from './steps/cached-weights';
export { CHECKPOINT_SLOTS, newestCheckpointStep } from './steps/checkpoint';
export { openShape, weightStorage, type ShapedModel, type WeightStorage } from './steps/options';
export { readFinished, RUN_FILE } from './steps/outputs';
export { idleKeyNotices } from './steps/idle-keys';
export { adapterNotices, resolveRun } from './steps/resolve';
export { contextFor, promptIds, type Prompt } from './steps/prompt-ids';
export { virtualTokensOf } from './steps/prompt-tuning';
export { promptNotices } from './steps/prompt-notices';
export { readPrompts, textPrompt, type PromptRow } from './steps/prompts';
export { parseRunFile } from './steps/records';
export type { Generation, GenerationOptions } from './steps/sequence';
export { talkSize } from './steps/talk';
export { describeUsage } from './usage';
export { TextGenerator } from './steps/text-generator';
export { describeWeights } from './verification-facts';
