/** Chat and comparison: keeps the generators of the last conversation open, and lets them go when the GPU is needed. */
import type { FileSource } from '../src/core/store';
import { openModel, type HubModel } from '../src/formats/model';
import { readAdapter } from '../src/formats/peft';
import {
  contextFor,
  evaluate,
  openGenerator,
  weightStorage,
  withTemplateOfRun,
  type Engine,
  type GeneratorOptions,
  type ModelCache,
  type Prompt,
  type Question,
  type TextGenerator,
  type WeightStorage,
} from '../src/recipes';
import type { ChatReply, ChatRequest } from '../src/protocol/chat';
import type { CompareResult, CompareRow } from '../src/protocol/evaluation';

/** Questions of a comparison that are answered at once. */
const COMPARE_BATCH = 8;

/** What answers: the base model, and the tuned one where a run was chosen. With an adapter both are one generator. */
interface Voices {
  readonly base: TextGenerator;
  readonly tuned: TextGenerator;
}

/** Which models answer, and on what. */
export interface Speakers {
  readonly engine: Engine;
  readonly model: HubModel;
  readonly cache: ModelCache | undefined;
  /** How base weights are kept where no run says so. */
  readonly storage?: WeightStorage;
  /** The run's folder; undefined for the base model alone. */
  readonly run: FileSource | undefined;
}

export type ChatOptions = Pick<
  ChatRequest,
  'voice' | 'maxNewTokens' | 'temperature' | 'topP' | 'minP' | 'repetitionPenalty' | 'seed' | 'stop'
>;

export class Answering {
  private open: { key: string; runId: string | null; engine: Engine; voices: Voices } | undefined;

  /** `key` names the model, and the run where there is one: while they stay, the generators stay open. */
  async answer(
    key: { readonly model: string; readonly runId: string | null },
    speakers: Speakers,
    prompt: Prompt,
    options: ChatOptions,
    onText: (piece: string) => void,
    signal: AbortSignal,
  ): Promise<ChatReply> {
    const voices = await this.voices(key, speakers, signal);
    return answerWith(voices[options.voice], prompt, options, onText, signal);
  }

  async compare(
    speakers: Speakers,
    questions: readonly Question[],
    maxNewTokens: number,
    onRow: (row: CompareRow) => void,
    signal: AbortSignal,
  ): Promise<CompareResult> {
    this.release();
    const batchSize = Math.min(COMPARE_BATCH, questions.length);
    const prompts = questions.map(({ prompt }) => prompt);
    const contextLength = contextFor(speakers.model, prompts, maxNewTokens);
    const voices = await openVoices(speakers, { batchSize, contextLength }, signal);
    try {
      await evaluate(
        { ...voices, questions, batchSize, maxNewTokens },
        ({ index, question: { question, expected, heldOut }, tuned, answer, exactMatch, f1 }) =>
          onRow({
            index,
            total: questions.length,
            question,
            expected,
            heldOut,
            voice: tuned ? 'tuned' : 'base',
            answer,
            score: { exactMatch, f1 },
          }),
        signal,
      );
      return { questions: questions.length };
    } finally {
      dispose(voices);
    }
  }

  /** Frees the GPU memory of the conversation, or of that with one run; the next question loads the model again. */
  release(runId?: string): void {
    if (runId !== undefined && this.open?.runId !== runId) return;
    if (this.open) dispose(this.open.voices);
    this.open = undefined;
  }

  private async voices(
    { model, runId }: { readonly model: string; readonly runId: string | null },
    speakers: Speakers,
    signal: AbortSignal,
  ): Promise<Voices> {
    const key = JSON.stringify([model, runId ?? speakers.storage]);
    const { engine } = speakers;
    if (this.open?.key !== key || this.open.engine !== engine) {
      this.release();
      this.open = { key, runId, engine, voices: await openVoices(speakers, {}, signal) };
    }
    return this.open.voices;
  }
}

/** An answer of the base model, which is the generator without its adapter, or of the tuned one. */
export async function answerWith(
  generator: TextGenerator,
  prompt: Prompt,
  { voice, maxNewTokens, temperature, topP, minP, repetitionPenalty, seed, stop }: ChatOptions,
  onText: (piece: string) => void,
  signal: AbortSignal,
): Promise<ChatReply> {
  const drawing = { temperature, topP, topK: 0, minP, repetitionPenalty, seed };
  const options = { ...drawing, maxNewTokens, stop, useAdapter: voice === 'tuned' };
  const began = performance.now();
  const { text, ids, promptTokens, finish } = await generator.generate(prompt, options, onText, signal);
  const tokensPerSecond = ids.length / Math.max(1e-3, (performance.now() - began) / 1000);
  return { text, promptTokens, newTokens: ids.length, tokensPerSecond, finish };
}

async function openVoices(
  speakers: Speakers,
  size: Pick<GeneratorOptions, 'batchSize' | 'contextLength'>,
  signal: AbortSignal,
): Promise<Voices> {
  const { engine, model, cache, run } = speakers;
  if (run && (await run.size('adapter_config.json')) === undefined) {
    const trained = await withTemplateOfRun(await openModel(run), run); // every parameter was trained: the run's folder is a model itself
    const base = await openGenerator({ engine, model, cache, ...size }, undefined, signal);
    try {
      return { base, tuned: await openGenerator({ engine, model: trained, ...size }, undefined, signal) };
    } catch (error) {
      base.dispose();
      throw error;
    }
  }
  const adapter = run && { name: run.name, content: await readAdapter(run) };
  const storage = run ? await weightStorage(run) : (speakers.storage ?? {});
  // The base model and the tuned one each keep their side of a conversation in a slot of their own.
  const slots = { batchSize: adapter ? 2 : 1, ...size };
  const generator = await openGenerator({ engine, model, cache, adapter, storage, ...slots }, undefined, signal);
  return { base: generator, tuned: generator };
}

function dispose({ base, tuned }: Voices): void {
  base.dispose();
  if (tuned !== base) tuned.dispose();
}
