/** Conversations and evaluations as they come back from the database, checked like all other rows. */
import * as v from 'valibot';
import type { ChatHead, ComparedQuestion, Turn } from '../../core/answers';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const Reply = v.object({
  text: v.string(),
  promptTokens: count,
  newTokens: count,
  tokensPerSecond: v.number(),
  contextLimit: v.exactOptional(count),
  finish: v.picklist(['end-of-turn', 'length', 'stop-text']),
});

const Answer = v.object({
  text: v.string(),
  state: v.picklist(['waiting', 'writing', 'done', 'stopped', 'failed', 'cut-off']),
  reply: v.exactOptional(Reply),
});

const TurnRow = v.object({
  question: v.string(),
  step: v.exactOptional(count),
  base: v.exactOptional(Answer),
  tuned: v.exactOptional(Answer),
});

/** A turn of a conversation; a damaged one keeps its place and says so. */
export function turnRow(found: unknown): Turn {
  const read = v.safeParse(TurnRow, found);
  return read.success ? read.output : { question: 'What was asked here is damaged in this browser, with its answers.' };
}

const ChatRow = v.object({ system: v.string(), asksAlone: v.exactOptional(v.boolean()) });

/** What a conversation is held with; nothing where that is damaged. */
export function chatHead(found: unknown): ChatHead {
  const read = v.safeParse(ChatRow, found);
  return read.success ? read.output : { system: '' };
}

const Scored = v.object({ answer: v.string(), exactMatch: v.boolean(), f1: v.number() });

const Compared = v.object({
  question: v.string(),
  expected: v.string(),
  heldOut: v.boolean(),
  base: v.exactOptional(Scored),
  tuned: v.exactOptional(Scored),
});

/** The rows of an evaluation that are such: damaged ones are asked again with the rest. */
export function comparedRowsOf(found: readonly unknown[]): ComparedQuestion[] {
  return found.flatMap((row) => {
    const read = v.safeParse(Compared, row);
    return read.success ? [read.output] : [];
  });
}

const EvaluationRow = v.object({ total: count, step: count });

/** What was asked in an evaluation; undefined where nothing is kept of it, or that is damaged. */
export function evaluationHead(found: unknown): v.InferOutput<typeof EvaluationRow> | undefined {
  const read = v.safeParse(EvaluationRow, found);
  return read.success ? read.output : undefined;
}
