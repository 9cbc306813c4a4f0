/** Rows to conversations: the prompt's parts joined, the system message in front, what the template gets beside. */
import { quote } from '../../core/format';
import { parseJson } from '../../core/json';
import { contentOf, type Conversation, type Message } from '../../core/text';
import { readAnswer } from './answers';
import {
  checkDepth,
  fieldOf,
  isObject,
  setOwn,
  textOf,
  unusable,
  withoutNulls,
  type LeftOut,
  type RowValue,
} from './fields';
import { ASKING_FIELDS, MESSAGE_LISTS, SYSTEM_FIELDS, type Purpose, type RowPlan } from './formats';
import { messagesIn, readMessages, type Messages } from './messages';

export interface ReadConversation {
  readonly conversation: Conversation;
  readonly untrained: readonly number[];
  /** Whether the row says of an answer that it isn't trained. */
  readonly isMarked: boolean;
  /** What is asked where the row has it as a text by itself, without a system message or turns before it. */
  readonly promptText: string | undefined;
}

/** Reads a row of messages, or of a prompt and its answer. For `ask`, up to the answer; to `render`, with any answer or none. */
export function readConversation(row: RowValue, plan: RowPlan, purpose: Purpose, leftOut: LeftOut): ReadConversation {
  const { rule } = plan;
  const opening = readOpening(row, plan);
  const body =
    rule.kind === 'pair'
      ? readPair(row, plan, purpose, leftOut)
      : readMessages(row[rule.main], rule.main, purpose, leftOut);
  const list = [...withSystem(opening, body.list)];
  const shift = list.length - body.list.length;
  const untrained = body.untrained.map((place) => place + shift);
  if (purpose === 'train') checkAnswers(list, untrained);
  if (purpose === 'ask') {
    while (list.at(-1)?.role === 'assistant') list.pop();
    if (list.length === 0) throw unusable('has no message to answer');
  }
  const isText = rule.kind === 'pair' && list.length === 1 && !messagesIn(fieldOf(row, rule.main));
  return {
    conversation: { messages: list, ...readTemplateFields(row, purpose, leftOut) },
    untrained,
    isMarked: body.isMarked,
    promptText: isText ? contentOf(list[0]) : undefined,
  };
}

/** System message and the turns before, from columns of their own. */
interface Opening {
  readonly system: string | undefined;
  /** The name of the column. */
  readonly systemName: string;
  readonly history: Message[];
}

function readOpening(row: RowValue, { rule }: RowPlan): Opening {
  const systems = SYSTEM_FIELDS.map((name) => [name, textOf(row, name)] as const).filter(([, text]) => text?.trim());
  const [first, second] = systems;
  if (second && second[1] !== first?.[1]) throw unusable(`has both ${first![0]} and ${second[0]}, and they differ`);
  const history = rule.uses.includes('history') ? readHistory(fieldOf(row, 'history')) : [];
  return { system: first?.[1], systemName: first?.[0] ?? '', history };
}

/** LLaMA-Factory's history: pairs of what was asked and what was answered. */
function readHistory(value: unknown): Message[] {
  if (value === undefined || value === '') return [];
  const isPair = (pair: unknown): pair is [string, string] =>
    Array.isArray(pair) && pair.length === 2 && pair.every((text) => typeof text === 'string');
  if (!Array.isArray(value) || !value.every(isPair)) {
    throw unusable(`must have pairs of question and answer in history, but has ${quote(value)}`);
  }
  return value.flatMap(([user, assistant]) => [
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ]);
}

function withSystem({ system, systemName, history }: Opening, list: readonly Message[]): readonly Message[] {
  const own = list.find(({ role }) => role === 'system' || role === 'developer');
  if (system !== undefined && own && contentOf(own) !== system) {
    throw unusable(`has a system message among its messages and another in ${systemName}`);
  }
  if ((system === undefined || own) && history.length === 0) return list;
  const added = system === undefined || own ? [] : [{ role: 'system', content: system }];
  return [...added, ...history, ...list];
}

function readPair(row: RowValue, plan: RowPlan, purpose: Purpose, leftOut: LeftOut): Messages {
  const { main, answer } = plan.rule;
  const prompt = messagesIn(fieldOf(row, main));
  const prompted = prompt && readMessages(prompt, main, purpose, leftOut);
  const asked = prompted?.list ?? readPromptText(row, plan);
  if (purpose === 'ask' || answer === undefined) return { list: asked, untrained: [], isMarked: false };
  const answered = readAnswer(row, answer, purpose, leftOut);
  addReasoning(row, answered.list, plan.readBy);
  // Only the completion is trained, as in TRL: answers in the prompt are context.
  const context = asked.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []));
  const untrained = [...context, ...answered.untrained.map((place) => place + asked.length)];
  const isMarked = answered.isMarked || prompted?.isMarked === true;
  return { list: [...asked, ...answered.list], untrained, isMarked };
}

/** The thoughts before an answer, from a column of their own. */
function addReasoning(row: RowValue, answers: Message[], readBy: string): void {
  const reasoning = textOf(row, 'reasoning_content') ?? '';
  if (reasoning.trim() === '') return;
  const place = answers.findIndex(({ role }) => role === 'assistant');
  const own = answers[place]?.['reasoning_content'];
  if (place < 0 || (own !== undefined && own !== reasoning)) {
    throw unusable(`has reasoning_content beside ${readBy}, where it has no place: put it there, or take it out`);
  }
  answers[place] = { ...answers[place]!, reasoning_content: reasoning };
}

/** The context, a blank line, then what is asked; an Alpaca input on the line after its instruction. */
function readPromptText(row: RowValue, { rule }: RowPlan): Message[] {
  const main = textOf(row, rule.main) ?? '';
  const input = (rule.uses.includes('input') ? textOf(row, 'input') : undefined) ?? '';
  const asked = main === '' || input === '' ? main + input : `${main}\n${input}`;
  if (asked.trim() === '') throw unusable(`has an empty ${rule.main}`);
  const context = rule.uses.includes('context') ? contextOf(row) : '';
  return [{ role: 'user', content: context.trim() === '' ? asked : `${context}\n\n${asked}` }];
}

function contextOf(row: RowValue): string {
  const value = fieldOf(row, 'context');
  if (!Array.isArray(value)) return textOf(row, 'context') ?? '';
  if (value.every((text) => typeof text === 'string')) return value.join('\n\n');
  throw unusable(`must have text in context, but has ${quote(value)}`);
}

/** Columns of the row's own format that have no place beside a prompt of messages. */
export function unplacedFields(row: RowValue, { rule }: RowPlan): string[] {
  if (rule.kind !== 'pair' || !messagesIn(fieldOf(row, rule.main))) return [];
  return ['context', 'input', 'history'].filter(
    (name) => rule.uses.includes(name) && (fieldOf(row, name) ?? '') !== '',
  );
}

/**
 * Refuses a row whose prompt lacks what another of its columns asks. A column that says the same in another form (a
 * prompt made of the instruction) is merely left out.
 */
export function checkOtherPrompts(row: RowValue, plan: RowPlan, texts: () => readonly string[]): void {
  const { kind } = plan.rule;
  for (const name of [...plan.others, ...unplacedFields(row, plan)]) {
    // Of a conversation, a prompt is usually a copy of its beginning; only a context adds to it.
    const matters =
      kind === 'messages'
        ? name === 'context'
        : ASKING_FIELDS.has(name) ||
          (kind === 'text'
            ? SYSTEM_FIELDS.includes(name)
            : MESSAGE_LISTS.includes(name) && typeof row[name] === 'string');
    if (matters) checkHeld(row, name, texts(), plan.readBy);
    if (name === 'history' && row[name] !== '')
      throw unusable(`has a history beside ${plan.readBy}, where it has no place: put it there`);
  }
}

function checkHeld(row: RowValue, name: string, texts: readonly string[], readBy: string): void {
  const text = stringsIn(fieldOf(row, name)).join('\n').trim();
  // A prompt may be made of what is asked; a context that mentions it says more.
  const isMade = (other: string) => name !== 'context' && other.trim() !== '' && text.includes(other.trim());
  if (texts.some((other) => other.includes(text) || isMade(other))) return;
  throw unusable(`has ${name} beside ${readBy}, and it says something else: put it there, or take it out`);
}

/** All texts in a value, at any depth; numbers as texts. */
function stringsIn(value: unknown): string[] {
  const texts: string[] = [];
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const item = rest.pop();
    if (typeof item === 'string') texts.push(item);
    else if (typeof item === 'object' && item !== null)
      for (const inner of Object.values(item).reverse()) rest.push(inner);
    else if (item !== undefined && item !== null) texts.push(quote(item));
  }
  return texts;
}

/** What a row asks, with which its other columns are compared: whole, and the field by itself that asks it. */
export function askedTexts(row: RowValue, { rule }: RowPlan, { messages }: Conversation): string[] {
  const main = fieldOf(row, rule.main);
  const asked = messages.filter(({ role }) => role !== 'assistant').map(contentOf);
  return typeof main === 'string' ? [main, ...asked] : asked;
}

/** Every answer that is trained has to have text, and one there must be. */
function checkAnswers(list: readonly Message[], untrained: readonly number[]): void {
  const skipped = new Set(untrained);
  let trained = 0;
  let answers = 0;
  list.forEach((message, i) => {
    if (message.role !== 'assistant') return;
    answers++;
    if (skipped.has(i)) return;
    trained++;
    if (contentOf(message).trim() === '' && message['tool_calls'] === undefined) {
      throw unusable(`has an empty answer: message ${i + 1}, the assistant's`);
    }
  });
  if (answers === 0) throw unusable("has no response: no message is the assistant's");
  if (trained === 0) throw unusable('has nothing to train on: every message of the assistant is marked as untrained');
}

/** Tools, documents and further variables, as Transformers' `apply_chat_template` takes them. */
function readTemplateFields(row: RowValue, purpose: Purpose, leftOut: LeftOut): Omit<Conversation, 'messages'> {
  const functions = fieldOf(row, 'functions');
  if (functions !== undefined && fieldOf(row, 'tools') !== undefined) throw unusable('has both tools and functions');
  const tools = readTools(fieldOf(row, 'tools') ?? functions, purpose, leftOut);
  const documents = fieldOf(row, 'documents');
  if (documents !== undefined && documents !== '' && !Array.isArray(documents)) {
    throw unusable(`must have a list in documents, but has ${quote(documents)}`);
  }
  const kwargs = fieldOf(row, 'chat_template_kwargs');
  if (kwargs !== undefined && !isObject(kwargs)) {
    throw unusable(`must have an object in chat_template_kwargs, but has ${quote(kwargs)}`);
  }
  checkDepth(documents, 'documents');
  checkDepth(kwargs, 'chat_template_kwargs');
  const variables: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(kwargs ?? {})) {
    if (value !== null || purpose === 'render') setOwn(variables, name, value);
  }
  return {
    ...(tools && { tools }),
    ...(Array.isArray(documents) && { documents: documents as unknown[] }),
    ...(Object.keys(variables).length > 0 && { variables }),
  };
}

/** A list of functions, or one as JSON text; functions without OpenAI's wrapping get it, for templates look inside it. */
function readTools(field: unknown, purpose: Purpose, leftOut: LeftOut): readonly unknown[] | undefined {
  if (field === undefined) return undefined;
  let value: unknown = field;
  if (typeof field === 'string') {
    if (field.trim() === '') return undefined;
    value = parseJson(field);
    if (value === undefined) throw unusable(`must have JSON in tools, but has ${quote(field)}`);
    if (value === null) return undefined;
  }
  if (!Array.isArray(value) || !value.every(isObject)) {
    throw unusable(`must have a list of functions in tools, but has ${quote(field)}`);
  }
  if (value.length === 0) return undefined;
  checkDepth(value, 'tools');
  if (purpose === 'render') return value;
  const dropped = () => leftOut.remark('Null fields inside tool calls and tools are left out, as TRL does.');
  const tools = typeof field === 'string' ? value : (withoutNulls(value, dropped) as RowValue[]);
  return tools.map((tool) =>
    typeof tool['name'] === 'string' && tool['type'] === undefined && tool['function'] === undefined
      ? { type: 'function', function: tool }
      : tool,
  );
}
