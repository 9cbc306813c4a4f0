/** A conversation with the base and the tuned model side by side; each remembers its own answers. */
import type { PlainError } from '../../../core/errors';
import type { Message } from '../../../core/text';
import type { ChatReply, Voice } from '../../../protocol/chat';
import type { ModelRef, StorageSettings } from '../../../protocol/models';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { loadSetting, removeSetting, saveSetting } from '../../persisted';
import type { SamplingState } from './sampling.svelte';

export interface Answer {
  text: string;
  state: 'waiting' | 'writing' | 'done' | 'stopped' | 'failed';
  reply?: ChatReply;
}

export interface Turn {
  question: string;
  /** The step after which a run in training was asked. */
  step?: number;
  base?: Answer;
  tuned?: Answer;
}

export interface Partner {
  readonly model: ModelRef;
  /** The run whose adapter answers; null for the base model alone. */
  readonly runId: string | null;
  /** How the base model is kept where no run says so. */
  readonly storage: StorageSettings;
  /** Who can answer. */
  readonly voices: readonly Voice[];
  /** Steps that the run has done, where it trains. */
  readonly step?: number | undefined;
}

export class ChatState {
  turns = $state<Turn[]>([]);
  busy = $state(false);
  error = $state.raw<PlainError>();
  /** Which models answer; the tuned one needs a run. */
  asks = $state<Record<Voice, boolean>>({ base: true, tuned: true });

  /** The run that the conversation is with; null for a base model alone. */
  runId = $state<string | null>(null);

  /** The answer that is being written. */
  private writing: Answer | undefined;
  private readonly answering: Job<'chat.answer'>;

  constructor(
    workers: Workers,
    private readonly sampling: SamplingState,
  ) {
    this.answering = new Job(workers, 'chat.answer', (event) => {
      if (event.kind !== 'text' || !this.writing) return;
      this.writing.state = 'writing';
      this.writing.text += event.piece;
    });
  }

  /** What was found out about the model while it was opened for the last answer, a sentence each. */
  get notices(): readonly string[] {
    return this.answering.notices;
  }

  /** Turns to a run, or to the base model; what was said with a run is kept with it, and goes on. */
  meet(runId: string | null): void {
    if (runId === this.runId) return;
    this.stop();
    this.runId = runId;
    this.turns = runId === null ? [] : loadSetting(settingOf(runId), [], areTurns);
    this.error = undefined;
  }

  async send(question: string, partner: Partner): Promise<void> {
    if (this.busy || question.trim() === '') return;
    const chosen = partner.voices.filter((voice) => this.asks[voice]);
    const voices = chosen.length > 0 ? chosen : partner.voices;
    const added: Turn = { question, ...(partner.step !== undefined && { step: partner.step }) };
    for (const voice of voices) added[voice] = { text: '', state: 'waiting' };
    this.turns.push(added);
    const turn = this.turns.at(-1)!; // the reactive one
    this.busy = true;
    this.error = undefined;
    for (const voice of voices) if (!(await this.answer(turn, voice, partner))) break;
    const state = this.answering.error ? 'failed' : 'stopped';
    for (const voice of voices) if (turn[voice]!.state !== 'done') turn[voice]!.state = state;
    if (this.turns.includes(turn)) {
      this.error = this.answering.error;
      this.keep();
    }
    this.busy = false;
  }

  stop(): void {
    this.answering.cancel();
  }

  clear(): void {
    this.stop();
    this.turns = [];
    this.error = undefined;
    if (this.runId !== null) this.forget(this.runId);
  }

  /** Drops what was said with a run: it is deleted, or learns more. */
  forget(runId: string): void {
    removeSetting(settingOf(runId));
    if (runId !== this.runId) return;
    this.stop();
    this.runId = null;
    this.turns = [];
  }

  private keep(): void {
    if (this.runId !== null) saveSetting(settingOf(this.runId), this.turns);
  }

  /** Returns whether there is an answer; otherwise the job says why not. */
  private async answer(turn: Turn, voice: Voice, partner: Partner): Promise<boolean> {
    const answer = turn[voice]!;
    const messages = this.history(turn, voice);
    this.writing = answer;
    // With a run, the base model is the same model with its adapter left out: one request says which.
    const { model, runId, storage } = partner;
    const reply = await this.answering.run({ model, runId, storage, ...this.sampling.resolved, messages, voice });
    if (!reply) return false;
    answer.reply = reply;
    answer.text = reply.text;
    answer.state = 'done';
    return true;
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

function settingOf(runId: string): string {
  return `chat-${runId}`;
}

function areTurns(value: unknown): value is Turn[] {
  return Array.isArray(value) && value.every(isTurn);
}

function isTurn(value: unknown): boolean {
  const { question, base, tuned } = (value ?? {}) as Partial<Record<string, unknown>>;
  return typeof question === 'string' && [base, tuned].every((answer) => answer === undefined || isAnswer(answer));
}

function isAnswer(value: unknown): boolean {
  const { text, state } = (value ?? {}) as Partial<Record<string, unknown>>;
  return typeof text === 'string' && (state === 'done' || state === 'stopped' || state === 'failed');
}
