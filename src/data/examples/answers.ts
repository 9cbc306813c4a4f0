/** The field with a row's answer: a text, messages, or one of the forms that question sets have. */
import { quote } from '../../core/format';
import { parseJson } from '../../core/json';
import type { Message } from '../../core/text';
import { checkDepth, fieldOf, isObject, unusable, type LeftOut, type RowValue } from './fields';
import type { Purpose } from './formats';
import { messagesIn, readMessages, type Messages } from './messages';

/** The assistant's turns that answer a prompt. */
export function readAnswer(row: RowValue, name: string, purpose: Purpose, leftOut: LeftOut): Messages {
  const value = fieldOf(row, name);
  const messages = messagesIn(value);
  if (messages?.some(isObject)) return readMessages(messages, name, purpose, leftOut);
  const calls = name === 'answers' ? readCalls(row, value) : undefined;
  if (calls) return { list: [{ role: 'assistant', content: '', tool_calls: calls }], untrained: [], isMarked: false };
  const text = name === 'answer_keywords' ? readKeywords(value) : readText(value, name, leftOut);
  if (purpose !== 'render' && text.trim() === '') throw unusable(`has an empty ${name}`);
  const message: Message = { role: 'assistant', content: text };
  return { list: [message], untrained: [], isMarked: false };
}

/** Answers that call the row's tools, as JSON text (xLAM). */
function readCalls(row: RowValue, value: unknown): unknown[] | undefined {
  if (typeof value !== 'string' || fieldOf(row, 'tools') === undefined) return undefined;
  const calls = parseJson(value);
  if (!Array.isArray(calls) || calls.length === 0) return undefined;
  if (!calls.every((call) => isObject(call) && typeof fieldOf(call, 'name') === 'string')) return undefined;
  checkDepth(calls, 'answers');
  return calls.map((call: unknown) => ({ type: 'function', function: call }));
}

function readKeywords(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((word) => typeof word === 'string')) return value.join(', ');
  throw unusable(`must have words in answer_keywords, but has ${quote(value)}`);
}

function readText(value: unknown, name: string, leftOut: LeftOut): string {
  if (typeof value === 'string') return value;
  // SQuAD: the texts of several people's answers, and where each begins in the context.
  const isSquad = isObject(value) && Object.keys(value).every((key) => key === 'text' || key === 'answer_start');
  const list = isSquad ? value['text'] : value;
  if (typeof list === 'string') return list;
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) {
    throw unusable(`must have text in ${name}, but has ${quote(value)}`);
  }
  const [first = '', second] = new Set(list);
  if (second === undefined) return first;
  if (name !== 'answers' && !isSquad) {
    throw unusable(
      `has several texts in ${name}: several answers to one prompt are for grpo or reward models, not for fine-tuning`,
    );
  }
  leftOut.remark(`Of several texts in ${name} the first is trained, and the others are left out.`);
  return first;
}
