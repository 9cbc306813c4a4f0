/** Conversations as earlier versions of the page kept them, in small settings: they move to the browser's database. */
import { runOfChat, type Turn } from '../../../core/answers';
import { loadSetting, removeSetting } from '../../persisted';

/** What was said with a run; nothing where there is nothing left. */
export function earlierTurns(chat: string): Turn[] {
  const runId = runOfChat(chat);
  return runId === undefined ? [] : loadSetting(settingOf(runId), [], areTurns);
}

export function dropEarlierTurns(chat: string): void {
  const runId = runOfChat(chat);
  if (runId !== undefined) removeSetting(settingOf(runId));
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
