/** One question to two runs: each answers by what it has learned, one after the other, without chance. */
import { answersBeside, type Answer, type Turn } from '../../../core/answers';
import { plainError, type PlainError } from '../../../core/errors';
import { Job } from '../../client/job.svelte';
import type { Workers } from '../../client/workers';
import { WriteAhead } from '../../client/write-ahead';
import { asLeft, type Partner } from './chat.svelte';

type Pair<T> = readonly [T, T];

/** A question with the answers of both; a run that has not been asked it has none. */
export interface AskedBoth {
  readonly question: string;
  readonly answers: Pair<Answer | undefined>;
}

/** As in an evaluation: the likeliest token each time, so that only the runs differ. */
const GREEDY = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  seed: 1,
  stop: [],
  maxNewTokens: 128,
};

export class AskBothState {
  /** What was asked of the two runs that are shown. */
  turns = $state.raw<readonly AskedBoth[]>([]);
  /** What they were asked before has been read, or can't be: until then nothing is shown that would move. */
  isRead = $state(false);
  busy = $state(false);
  error = $state.raw<PlainError>();
  /** Why what is answered can't be kept, or what was answered can't be read. */
  storeError = $state.raw<PlainError>();

  private ids: Pair<string> | undefined;
  private loaded: Promise<void> = Promise.resolve();
  private onPiece: (piece: string) => void = () => undefined;
  private readonly answering: Job<'chat.answer'>;

  constructor(private readonly workers: Workers) {
    this.answering = new Job(workers, 'chat.answer', (event) => {
      if (event.kind === 'text') this.onPiece(event.piece);
    });
  }

  /** Turns to two runs; what they were asked before is kept. */
  meet(ids: Pair<string>): void {
    if (this.ids?.[0] === ids[0] && this.ids[1] === ids[1]) return;
    this.stop();
    this.ids = ids;
    this.turns = [];
    this.isRead = false;
    this.error = undefined;
    this.storeError = undefined;
    this.loaded = this.load(ids);
  }

  async ask(question: string, partners: Pair<Partner>): Promise<void> {
    const { ids } = this;
    if (this.busy || !ids) return;
    this.busy = true;
    this.error = undefined;
    this.storeError = undefined;
    await this.loaded;
    const at = this.turns.length;
    const answers: [Answer, Answer] = [
      { text: '', state: 'waiting' },
      { text: '', state: 'waiting' },
    ];
    const writer = this.writerOf(ids);
    const keep = () => writer.put(at, structuredClone({ question, answers }));
    keep();
    for (const [of, partner] of partners.entries()) {
      if (!(await this.answer(question, partner, answers[of]!, keep))) break;
    }
    for (const answer of answers) {
      if (answer.state !== 'done') answer.state = this.answering.error ? 'failed' : 'stopped';
    }
    keep();
    await writer.settled();
    if (this.ids === ids) this.error = this.answering.error;
    this.busy = false;
  }

  stop(): void {
    this.answering.cancel();
  }

  /** Deletes what a run answered beside others, and they beside it. */
  async forget(runId: string, others: readonly string[]): Promise<void> {
    if (this.ids?.includes(runId)) {
      this.stop();
      this.ids = undefined;
      this.turns = [];
    }
    const chats = others.flatMap((other) => [answersBeside(runId, other), answersBeside(other, runId)]);
    for (const chat of chats) await this.workers.gpu.call((worker) => worker.chat.clear(chat));
  }

  private writerOf(ids: Pair<string>): WriteAhead<AskedBoth> {
    const chats = chatsOf(ids);
    return new WriteAhead<AskedBoth>(
      async (index, { question, answers }) => {
        for (const [at, chat] of chats.entries()) {
          const answer = answers[at];
          const turn: Turn = { question, ...(answer && { tuned: answer }) };
          await this.workers.gpu.call((worker) => worker.chat.keepTurn(chat, index, turn));
        }
      },
      (index, asked) => {
        if (this.ids === ids) this.turns = [...this.turns.slice(0, index), asked];
      },
      (error) => {
        if (this.ids === ids) this.storeError = plainError(error);
      },
    );
  }

  /** Returns whether there is an answer; otherwise the job says why not. */
  private async answer(question: string, partner: Partner, answer: Answer, keep: () => void): Promise<boolean> {
    this.onPiece = (piece) => {
      answer.state = 'writing';
      answer.text += piece;
      keep();
    };
    const { model, runId, storage } = partner;
    const messages = [{ role: 'user' as const, content: question }];
    const reply = await this.answering.run({ model, runId, storage, ...GREEDY, messages, voice: 'tuned' });
    if (!reply) return false;
    Object.assign(answer, { reply, text: reply.text, state: 'done' } satisfies Answer);
    keep();
    return true;
  }

  private async load(ids: Pair<string>): Promise<void> {
    try {
      const [one, other] = await Promise.all(
        chatsOf(ids).map((chat) => this.workers.gpu.call((worker) => worker.chat.read(chat))),
      );
      if (this.ids !== ids) return;
      this.turns = one!.turns.map((turn, at) => ({
        question: turn.question,
        answers: [asLeft(turn).tuned, other!.turns[at] && asLeft(other!.turns[at]).tuned],
      }));
    } catch (error) {
      if (this.ids === ids) this.storeError = plainError(error);
    } finally {
      if (this.ids === ids) this.isRead = true;
    }
  }
}

function chatsOf([one, other]: Pair<string>): Pair<string> {
  return [answersBeside(one, other), answersBeside(other, one)];
}
