/** What the page's worker and the command line may do. Each recipe reads top to bottom; they share src/recipes/steps. */
export { openEngine } from '../engine';
export type { DeviceInfo, DeviceOptions, Engine, MemoryPlan } from '../engine';
export { evaluate, questionsOf, type EvaluatedAnswer, type Question, type Scores } from './evaluate';
export { exportCheckpoint } from './export-checkpoint';
export { finetune, type FinetuneInput } from './finetune';
export { forward, type ForwardInput, type ForwardOutput } from './forward';
export { contextFor, openGenerator, promptIds, TextGenerator, type GeneratorOptions } from './generate';
export type { Generation, GenerationOptions, Prompt } from './generate';
export { exampleViews, inspectData, inspectPrepared, prepareData } from './inspect';
export type { DatasetFile, PreparedData, TextModel } from './inspect';
export { mergeModel, type MergeInput } from './merge';
export { fitToBudget, type Choice, type FittedRun } from './fit';
export { formatBytes, parseBytes, planRun, type RunPlan } from './plan';
export type { ModelCache } from './steps/cached-weights';
export { CHECKPOINT_SLOTS, newestCheckpointStep } from './steps/checkpoint';
export { openShape, weightStorage, type ShapedModel, type WeightStorage } from './steps/options';
export { readFinished } from './steps/outputs';
export { readPrompts, textPrompt, type PromptRow } from './steps/prompts';
