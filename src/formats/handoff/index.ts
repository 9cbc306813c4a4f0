/** Runs for other trainers: a folder that each of them goes on from, or begins with. */
export { accelerateHandoff, type Continuation, type StepToDo } from './accelerate';
export { axolotlHandoff } from './axolotl';
export { llamaFactoryHandoff, type Turns } from './llama-factory';
export { PARTS, textFile, type Handoff, type HandoffFile, type HandoffPlan } from './plan';
export { trlHandoff } from './trl';
