/** A conversation with the base and the tuned model side by side; each remembers its own answers. */
import { chatOfRun, type Answer, type Turn, type Voice } from '../../../core/answers';
import { plainError, type PlainError } from '../../../core/errors';
import { formatCount } from '../../../core/format';
import type { Message } from '../../../core/text';
import type { ModelRef, StorageSettings } from '../../../protocol/models';
import type { ChatFacts } from '../../../protocol/prompts';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { formatSize } from '../../format';
import { WriteAhead } from '../../client/write-ahead';
import { dropEarlierTurns, earlierTurns } from './earlier-turns';
import type { SamplingState } from './sampling.svelte';

export interface Partner {
  readonly model: ModelRef;
  /** The run whose adapter answers; null for the base model alone. */
  readonly runId: string | null;
  /** How the base model is kept where no run says so. */
  readonly storage: StorageSettings;
  /** Who can answer. */
  readonly voices: readonly Voice[];
  /** Steps that the run has done, where it isn't over. */
  readonly step?: number | undefined;
}

export class ChatState {
  turns = $state.raw<readonly Turn[]>([]);
  /** What is typed and not sent, by conversation: it stays where the visitor looks at something else in between. */
  private typed = $state<Record<string, string>>({});
  /** The question was asked elsewhere on the page, and is sent once it is known how the model is asked. */
  isHandedOver = $state(false);
  busy = $state(false);
  error = $state.raw<PlainError>();
  /** Why what is said can't be kept, or what was said can't be read. */
  storeError = $state.raw<PlainError>();
  /** The system message of the conversation; empty where there is none. */
  system = $state('');
  /** What the visitor said of whether each question is asked by itself; the run's data say so otherwise. */
  private alone = $state<boolean>();
  /** What a conversation with this partner can be; undefined until the model was asked. */
  facts = $state.raw<ChatFacts>();
  /** The partner's model has said how it is asked, or could not. */
  isLearned = $state(false);
  /** Which models answer; the tuned one needs a run. */
  asks = $state<Record<Voice, boolean>>({ base: true, tuned: true });

  /** The conversation that is shown: with a run, or with a base model. */
  private chat = $state<string>();
  /** What was said before is here, or can't be read. */
  isLoaded = $state(false);
  /** Resolves once what was said before is here. */
  private loaded: Promise<void> = Promise.resolve();
  /** Resolves once the partner's model was asked how it is asked. */
  private learned: Promise<void> = Promise.resolve();
  /** The turn that is being answered. */
  private writer: WriteAhead<Turn> | undefined;
  private onPiece: (piece: string) => void = () => undefined;
  private readonly answering: Job<'chat.answer'>;
  private readonly learning: Job<'prompts.facts'>;

  constructor(
    private readonly workers: Workers,
    private readonly sampling: SamplingState,
  ) {
    this.answering = new Job(workers, 'chat.answer', (event) => {
      if (event.kind === 'text') this.onPiece(event.piece);
    });
    this.learning = new Job(workers, 'prompts.facts');
  }

  /** What was found out about the model while it was opened for the last answer, a sentence each. */
  get notices(): readonly string[] {
    return this.answering.notices;
  }

  /** Asks a partner's model how it is asked; where it can't say, an answer will say why. */
  learn({ model, runId, storage }: Pick<Partner, 'model' | 'runId' | 'storage'>): void {
    this.facts = undefined;
    this.isLearned = false;
    const learned = this.learning.run({ model, runId, storage }).then((facts) => {
      if (this.learned !== learned) return; // another partner is asked
      this.isLearned = true;
      if (!facts) return;
      this.facts = facts;
      this.sampling.hints = facts.sampling;
    });
    this.learned = learned;
  }

  /**
   * Whether each question is asked by itself: a run that was taught answers to single questions answers the first one
   * of a conversation best.
   */
  get asksAlone(): boolean {
    return this.alone ?? this.facts?.asksAlone ?? false;
  }

  /** Why the system message can't be given. */
  get systemRefusal(): string | undefined {
    if (this.system.trim() === '' || (this.facts?.takesSystem ?? true)) return undefined;
    return 'The chat template of this model has no place for a system prompt: empty this field, and say it in your question.';
  }

  /** How full the conversation is, and what it may grow to. */
  get room(): string {
    const last = this.turns.findLast(({ base, tuned }) => base?.reply ?? tuned?.reply);
    const replies = [last?.base?.reply, last?.tuned?.reply].flatMap((reply) => reply ?? []);
    const used = Math.max(0, ...replies.map(({ promptTokens, newTokens }) => promptTokens + newTokens));
    const limit = replies.find(({ contextLimit }) => contextLimit !== undefined)?.contextLimit;
    const most = limit ?? this.facts?.contextLength;
    if (most === undefined) return '';
    const full = `The conversation fills ${formatCount(used)} of ${formatCount(most)} tokens.`;
    const [few, many] = this.facts?.memory ?? [];
    if (!few) return full;
    const grown = many ? `, and ${formatSize(many.bytes)} with all ${formatCount(many.tokens)}` : '';
    return `${full} With room for ${formatCount(few.tokens)} it takes ${formatSize(few.bytes)} of GPU memory${grown}; its room grows as it does.`;
  }

  setSystem(system: string): void {
    this.system = system;
    this.keepHead();
  }

  setAsksAlone(alone: boolean): void {
    this.alone = alone;
    this.keepHead();
  }

  private keepHead(): void {
    const { chat, system, alone } = this;
    if (chat === undefined) return;
    const head = { system, ...(alone !== undefined && { asksAlone: alone }) };
    this.loaded = this.loaded
      .then(() => this.workers.gpu.call((worker) => worker.chat.keepHead(chat, head)))
      .catch((error: unknown) => {
        if (this.chat === chat) this.storeError = plainError(error);
      });
  }

  /** Turns to a conversation, which goes on where it was left. */
  meet(chat: string): void {
    if (chat === this.chat) return;
    this.stop();
    this.writer = undefined; // it ends as what it is, where nobody looks
    this.chat = chat;
    this.turns = [];
    this.isHandedOver = false;
    this.facts = undefined;
    this.isLearned = false;
    this.system = '';
    this.alone = undefined;
    this.error = undefined;
    this.storeError = undefined;
    this.isLoaded = false;
    this.loaded = this.load(chat);
  }

  /** What is typed for the conversation that is shown. */
  get question(): string {
    return this.chat === undefined ? '' : this.questionFor(this.chat);
  }

  set question(question: string) {
    if (this.chat !== undefined) this.setQuestionFor(this.chat, question);
    this.isHandedOver = false; // it is being written
  }

  questionFor(chat: string): string {
    return this.typed[chat] ?? '';
  }

  setQuestionFor(chat: string, question: string): void {
    this.typed[chat] = question;
  }

  /** What is typed for a conversation is sent there: it is shown next. */
  handOver(chat: string): void {
    this.meet(chat);
    this.isHandedOver = true;
  }

  async send(question: string, partner: Partner): Promise<void> {
    if (this.busy || question.trim() === '') return;
    this.busy = true;
    this.error = undefined;
    this.storeError = undefined;
    await Promise.all([this.loaded, this.learned]);
    if (this.chat !== undefined) await this.ask(this.chat, question, partner);
    this.busy = false;
  }

  stop(): void {
    this.answering.cancel();
  }

  clear(): void {
    this.stop();
    const { chat, writer } = this;
    this.writer = undefined;
    this.turns = [];
    this.error = undefined;
    if (chat !== undefined) this.loaded = this.discard(chat, writer);
  }

  /** Leaves the conversation with a run that is deleted. */
  forgetRun(runId: string): void {
    dropEarlierTurns(chatOfRun(runId));
    delete this.typed[chatOfRun(runId)];
    if (this.chat !== chatOfRun(runId)) return;
    this.stop();
    void this.writer?.close();
    this.writer = undefined;
    this.chat = undefined;
    this.turns = [];
  }

  private async ask(chat: string, question: string, partner: Partner): Promise<void> {
    const chosen = partner.voices.filter((voice) => this.asks[voice]);
    const voices = chosen.length > 0 ? chosen : partner.voices;
    const turn: Turn = { question, ...(partner.step !== undefined && { step: partner.step }) };
    for (const voice of voices) turn[voice] = { text: '', state: 'waiting' };
    const before = this.turns;
    const at = before.length;
    const writer = this.writerOf(chat);
    this.writer = writer;
    this.turns = [...before, structuredClone(turn)];
    const keep = () => writer.put(at, structuredClone(turn));
    keep();
    for (const voice of voices) if (!(await this.answer(before, turn, voice, partner, keep))) break;
    const state = this.answering.error ? 'failed' : 'stopped';
    for (const voice of voices) if (turn[voice]!.state !== 'done') turn[voice]!.state = state;
    keep();
    await writer.settled();
    if (this.writer === writer) this.error = this.answering.error;
  }

  /** Keeps the turns of a conversation, and shows them while it is the one that is shown. */
  private writerOf(chat: string): WriteAhead<Turn> {
    const writer = new WriteAhead<Turn>(
      (index, turn) => this.workers.gpu.call((worker) => worker.chat.keepTurn(chat, index, turn)),
      (index, turn) => {
        if (this.writer === writer) this.turns = this.turns.with(index, turn);
      },
      (error) => {
        if (this.writer === writer) this.storeError = plainError(error);
      },
    );
    return writer;
  }

  /** Returns whether there is an answer; otherwise the job says why not. */
  private async answer(
    before: readonly Turn[],
    turn: Turn,
    voice: Voice,
    partner: Partner,
    keep: () => void,
  ): Promise<boolean> {
    const answer = turn[voice]!;
    const said = history(this.asksAlone ? [] : before, turn, voice);
    const messages: Message[] = this.system.trim() === '' ? said : [{ role: 'system', content: this.system }, ...said];
    this.onPiece = (piece) => {
      answer.state = 'writing';
      answer.text += piece;
      keep();
    };
    // With a run, the base model is the same model with its adapter left out: one request says which.
    const { model, runId, storage } = partner;
    const reply = await this.answering.run({ model, runId, storage, ...this.sampling.resolved, messages, voice });
    if (!reply) return false;
    answer.reply = reply;
    answer.text = reply.text;
    answer.state = 'done';
    keep();
    return true;
  }

  private async load(chat: string): Promise<void> {
    try {
      const kept = await this.workers.gpu.call((worker) => worker.chat.read(chat));
      const turns = kept.turns.length > 0 ? kept.turns : await this.adopt(chat);
      if (this.chat !== chat) return;
      this.turns = turns.map(asLeft);
      this.system ||= kept.system; // what was typed meanwhile is newer
      this.alone ??= kept.asksAlone;
    } catch (error) {
      if (this.chat === chat) this.storeError = plainError(error);
    } finally {
      if (this.chat === chat) this.isLoaded = true;
    }
  }

  /** Moves what an earlier version of the page kept of a conversation to where it is kept now. */
  private async adopt(chat: string): Promise<Turn[]> {
    const turns = earlierTurns(chat);
    for (const [index, turn] of turns.entries()) {
      await this.workers.gpu.call((worker) => worker.chat.keepTurn(chat, index, turn));
    }
    dropEarlierTurns(chat);
    return turns;
  }

  private async discard(chat: string, writer: WriteAhead<Turn> | undefined): Promise<void> {
    await writer?.close();
    await this.workers.gpu
      .call((worker) => worker.chat.clear(chat))
      .catch((error: unknown) => (this.storeError = plainError(error)));
  }
}

/** The messages that a model is asked with: each remembers its own answers to what was asked before. */
function history(before: readonly Turn[], last: Turn, voice: Voice): Message[] {
  const messages: Message[] = [];
  for (const turn of before) {
    const answer = turn[voice];
    if (answer?.state !== 'done') continue;
    messages.push({ role: 'user', content: turn.question }, { role: 'assistant', content: answer.text });
  }
  return [...messages, { role: 'user', content: last.question }];
}

/** A turn as the page was left with it: what was being written then was cut off. */
export function asLeft(turn: Turn): Turn {
  const left = (answer: Answer): Answer =>
    answer.state === 'waiting' || answer.state === 'writing' ? { ...answer, state: 'cut-off' } : answer;
  return { ...turn, ...(turn.base && { base: left(turn.base) }), ...(turn.tuned && { tuned: left(turn.tuned) }) };
}
