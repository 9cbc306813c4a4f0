/** Chat and comparison: keeps the generators of the last conversation open, and lets them go when the GPU is needed. */
import type { FileSource } from '../../src/core/store';
import { errorCode } from '../../src/core/errors';
import { formatCount } from '../../src/core/format';
import { openModel, type HubModel } from '../../src/formats/model';
import { readAdapter } from '../../src/formats/peft';
import {
  contextFor,
  contextLengthFor,
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
} from '../../src/recipes';
import type { ChatReply, ChatRequest } from '../../src/protocol/chat';
import type { CompareResult, CompareRow } from '../../src/protocol/evaluation';

/** Questions of a comparison that are answered at once. */
const COMPARE_BATCH = 8;

/** Tokens of a context below which a conversation isn't worth opening. */
const SHORTEST_CONTEXT = 256;

/** What answers: the base model, and the tuned one where a run was chosen. With an adapter both are one generator. */
interface Voices {
  readonly base: TextGenerator;
  readonly tuned: TextGenerator;
}

/** A conversation that is open, with the room that it has. */
interface OpenConversation {
  readonly key: string;
  readonly runId: string | null;
  readonly engine: Engine;
  readonly voices: Voices;
  /** Tokens that its cache holds. */
  readonly contextLength: number;
  /** Tokens that it may grow to. */
  readonly limit: number;
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
  'voice' | 'maxNewTokens' | 'temperature' | 'topP' | 'topK' | 'minP' | 'repetitionPenalty' | 'seed' | 'stop'
>;

export class Answering {
  private open: OpenConversation | undefined;

  /**
   * `key` names the model, and the run where there is one: while they stay, the generators stay open, until the
   * conversation has outgrown their context.
   */
  async answer(
    key: { readonly model: string; readonly runId: string | null },
    speakers: Speakers,
    ids: readonly number[],
    options: ChatOptions,
    report: { readonly onText: (piece: string) => void; readonly onNotice: (message: string) => void },
    signal: AbortSignal,
  ): Promise<ChatReply> {
    const needed = contextLengthFor(ids.length + options.maxNewTokens, speakers.model.spec);
    const { voices, limit } = await this.conversation(key, speakers, needed, report.onNotice, signal);
    const prompt = { kind: 'tokens', ids, opensTurn: true } as const;
    const reply = await answerWith(voices[options.voice], prompt, options, report.onText, signal);
    return { ...reply, contextLimit: limit };
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

  /** The generators of a conversation with room for `needed` tokens, or for as many as there is memory for. */
  private async conversation(
    { model, runId }: { readonly model: string; readonly runId: string | null },
    speakers: Speakers,
    needed: number,
    onNotice: (message: string) => void,
    signal: AbortSignal,
  ): Promise<OpenConversation> {
    const key = JSON.stringify([model, runId ?? speakers.storage]);
    const { engine } = speakers;
    const before = this.open?.key === key && this.open.engine === engine ? this.open : undefined;
    if (before && Math.min(needed, before.limit) <= before.contextLength) return before;
    this.release();
    const most = before ? Math.min(needed, before.limit) : needed;
    for (let contextLength = most; ; contextLength = Math.floor(contextLength / 2)) {
      try {
        const voices = await openVoices(speakers, { contextLength }, signal);
        const limit = contextLength < most ? contextLength : (before?.limit ?? speakers.model.spec.maxPositions);
        this.open = { key, runId, engine, voices, contextLength, limit };
        return this.open;
      } catch (error) {
        if (errorCode(error) !== 'out-of-memory' || contextLength <= SHORTEST_CONTEXT) throw error;
        onNotice(
          `The memory of the GPU has no room for a context of ${formatCount(contextLength)} tokens: the conversation is held to half of that.`,
        );
      }
    }
  }
}

/** An answer of the base model, which is the generator without its adapter, or of the tuned one. */
export async function answerWith(
  generator: TextGenerator,
  prompt: Prompt,
  { voice, maxNewTokens, temperature, topP, topK, minP, repetitionPenalty, seed, stop }: ChatOptions,
  onText: (piece: string) => void,
  signal: AbortSignal,
): Promise<ChatReply> {
  const drawing = { temperature, topP, topK, minP, repetitionPenalty, seed };
  const options = { ...drawing, maxNewTokens, stop, useAdapter: voice === 'tuned' };
  const began = performance.now();
  const { text, ids, promptTokens, finish } = await generator.generate(prompt, options, onText, signal);
  const tokensPerSecond = ids.length / Math.max(1e-3, (performance.now() - began) / 1000);
  return { text, promptTokens, newTokens: ids.length, tokensPerSecond, contextLimit: generator.contextLength, finish };
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
