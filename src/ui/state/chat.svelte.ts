/** A conversation with the base and the tuned model side by side; each remembers its own answers. */
import { proxy } from 'comlink';
import type { PlainError } from '../../core/events';
import type { Message } from '../../core/text';
import type { GenerateReply, ModelRef, StorageSettings, Voice } from '../../protocol';
import { isCancelled, toPlainError } from '../client/errors';
import type { WorkerClient } from '../client/worker-client';
import type { SamplingState } from './sampling.svelte';

export interface Answer {
  text: string;
  state: 'waiting' | 'writing' | 'done' | 'stopped' | 'failed';
  reply?: GenerateReply;
}

export interface Turn {
  question: string;
  base?: Answer;
  tuned?: Answer;
}

export interface Partner {
  readonly model: ModelRef;
  /** The run whose adapter answers; null for the base model alone. */
  readonly runId: string | null;
  /** How the base model is kept where no run says so. */
  readonly storage: StorageSettings;
}

export class ChatState {
  turns = $state<Turn[]>([]);
  busy = $state(false);
  error = $state.raw<PlainError>();
  /** Which models answer; the tuned one needs a run. */
  asks = $state<Record<Voice, boolean>>({ base: true, tuned: true });

  private controller: AbortController | undefined;

  constructor(
    private readonly client: WorkerClient,
    private readonly sampling: SamplingState,
  ) {}

  async send(question: string, partner: Partner): Promise<void> {
    if (this.busy || question.trim() === '') return;
    const voices: Voice[] = [];
    if (this.asks.base || partner.runId === null) voices.push('base');
    if (this.asks.tuned && partner.runId !== null) voices.push('tuned');
    const added: Turn = { question };
    for (const voice of voices) added[voice] = { text: '', state: 'waiting' };
    this.turns.push(added);
    const turn = this.turns.at(-1)!; // the reactive one
    this.busy = true;
    this.error = undefined;
    this.controller = new AbortController();
    try {
      for (const voice of voices) await this.answer(turn, voice, partner, this.controller.signal);
    } catch (error) {
      const state = isCancelled(error) ? 'stopped' : 'failed';
      for (const voice of voices) if (turn[voice]!.state !== 'done') turn[voice]!.state = state;
      if (state === 'failed') this.error = toPlainError(error);
    } finally {
      this.busy = false;
    }
  }

  stop(): void {
    this.controller?.abort();
  }

  clear(): void {
    this.stop();
    this.turns = [];
    this.error = undefined;
  }

  private async answer(turn: Turn, voice: Voice, partner: Partner, signal: AbortSignal): Promise<void> {
    const answer = turn[voice]!;
    const messages = this.history(turn, voice);
    // With a run, the base model is the same model with its adapter left out: one request says which.
    const request = { ...partner, ...this.sampling.resolved, messages, voice };
    const onText = (piece: string) => {
      answer.state = 'writing';
      answer.text += piece;
    };
    answer.reply = await this.client.job(signal, (worker, job) => worker.generate(job, request, proxy(onText)));
    answer.text = answer.reply.text;
    answer.state = 'done';
  }

  private history(last: Turn, voice: Voice): Message[] {
    const messages: Message[] = [];
    for (const turn of this.turns) {
      if (turn !== last && turn[voice]?.state !== 'done') continue;
      messages.push({ role: 'user', content: turn.question });
      if (turn !== last) messages.push({ role: 'assistant', content: turn[voice]!.text });
    }
    return messages;
  }
}
