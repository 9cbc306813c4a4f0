/** What answering takes and allows, before a weight is loaded: how long a context, in how much memory, under which system message. */
import type { RunConfig } from '../core/config';
import { GraftError } from '../core/errors';
import type { ChatTemplate, Message } from '../core/text';
import { showsContent } from '../data/contents';
import { planSession } from '../engine';
import type { HubModel } from '../formats/model';
import { chooseWeightDType, quantizationOf, trainSetup, type ShapedModel, type WeightStorage } from './steps/options';

/** Tokens of prompt and answer that a conversation begins with room for: the cache doubles as it grows. */
const FIRST_CONTEXT = 2048;

/** The room for a conversation that needs `tokens`: in few sizes, as each is another cache. */
export function contextLengthFor(tokens: number, { maxPositions }: Pick<HubModel['spec'], 'maxPositions'>): number {
  let length = FIRST_CONTEXT;
  while (length < tokens) length *= 2;
  return Math.min(length, maxPositions);
}

/** Bytes of GPU memory that a conversation takes with a context of this many tokens: with a run, or with a base model. */
export function planAnswers(model: ShapedModel, asked: RunConfig | WeightStorage, maxLength: number): number {
  if ('use_peft' in asked && asked.use_peft) {
    // Base and tuned each keep their side of the conversation in a slot of their own.
    const { setup } = trainSetup(asked, model, [maxLength]);
    return planSession(setup, { decode: { batchSize: 2, maxLength } }).memory.totalBytes;
  }
  const plan = (storage: WeightStorage) => {
    const weightDType = chooseWeightDType(storage.dtype ?? 'auto', model.weightDType);
    const setup = { spec: model.spec, weightDType, quantization: quantizationOf(storage), lora: undefined };
    return planSession(setup, { decode: { batchSize: 1, maxLength } }).memory.totalBytes;
  };
  // A model that was trained whole stands beside its base.
  return 'use_peft' in asked ? plan({}) + plan({ dtype: 'float32' }) : plan(asked);
}

/** Whether a chat template shows the system message of a conversation. */
export function showsSystem(template: ChatTemplate, messages: readonly Message[]): boolean {
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return true;
  const render = (conversation: readonly Message[]) => {
    try {
      return template.render({ messages: [...conversation] }, { addGenerationPrompt: true });
    } catch (error) {
      if (error instanceof GraftError) return undefined;
      throw error;
    }
  };
  const shown = render(messages);
  if (shown === undefined) return render(rest) === undefined; // it refuses the rest, too: asking says why
  return shown !== render(rest) && showsContent(shown, String(first.content).trim());
}

/** @throws `unsupported` where the template has no place for the conversation's system message */
export function refuseUnshownSystem(
  { name, template }: Pick<HubModel, 'name' | 'template'>,
  messages: Message[],
): void {
  if (!template || showsSystem(template, messages)) return;
  throw new GraftError(
    'unsupported',
    `The chat template of ${name} has no place for a system prompt: empty that field, and say it in your question.`,
  );
}
