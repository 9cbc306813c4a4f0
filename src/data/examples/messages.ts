/** Lists of messages, as OpenAI, ShareGPT and others write them, to messages as chat templates take them. */
import { quote } from '../../core/format';
import { parseJson } from '../../core/json';
import type { Message } from '../../core/text';
import { joinParts } from './content';
import { checkDepth, fieldOf, isObject, setOwn, unusable, withoutNulls, type LeftOut, type RowValue } from './fields';
import type { Purpose } from './formats';
import { MEDIA_FIELDS } from './refusals';

export interface Messages {
  readonly list: Message[];
  /** Places of assistant messages that the row says aren't trained. */
  readonly untrained: number[];
  /** Whether the row says so of a message by itself, beside those of a prompt. */
  readonly isMarked: boolean;
}

/** A turn of the assistant that holds nothing but calls, as JSON (ShareGPT). */
const CALL = 'function_call';

/** Names of roles in use, in lower case, and what templates call them. */
const ROLES = new Map<string, string>([
  ['system', 'system'],
  ['developer', 'developer'],
  ...['user', 'human', 'prompter'].map((name) => [name, 'user'] as const),
  ...['assistant', 'gpt', 'chatgpt', 'gpt4', 'gpt-4', 'bing', 'bard', 'claude', 'model', 'bot', 'chatbot', 'ai'].map(
    (name) => [name, 'assistant'] as const,
  ),
  ...['tool', 'function', 'ipython', 'observation', 'tool_response', 'function_response', 'tool_result'].map(
    (name) => [name, 'tool'] as const,
  ),
  ...['function_call', 'tool_call'].map((name) => [name, CALL] as const),
]);

/** Fields that say whether a message is trained: 0 or false is not, 1 or true is. */
const WEIGHTS = new Set([
  'weight',
  'loss_weight',
  'train',
  'trainable',
  'train_on',
  'train_on_turn',
  'training',
  'trained',
  'training_weight',
  'learn',
  'loss',
  'loss_mask',
]);

/** Fields that say the opposite: 1 or true leaves a message untrained. */
const OMISSIONS = new Set(['mask', 'masked', 'ignore', 'ignore_loss', 'no_loss']);

/** The fields of turns that are written as pairs. */
const TURNS = [
  ['input', 'output'],
  ['user', 'assistant'],
  ['human', 'assistant'],
  ['human', 'gpt'],
  ['question', 'answer'],
  ['prompt', 'response'],
];

const MEDIA = new Set(MEDIA_FIELDS);

/** Names that a message's role and content go by, the first of them before the others. */
const ROLE_NAMES = ['role', 'from'];
const CONTENT_NAMES = ['content', 'value', 'text'];

/**
 * Reads a field that holds messages: objects with role and content or from and value, or texts of the user and the
 * assistant in turn. Fields that are null are dropped; all others are handed on as they are. To `render`, messages with
 * role and content are handed on as they stand: the template sees nulls, parts and other roles.
 */
export function readMessages(field: unknown, name: string, purpose: Purpose, leftOut: LeftOut): Messages {
  const items = typeof field === 'string' ? parseList(field) : field;
  if (!Array.isArray(items)) {
    throw unusable(`must have a list of messages with role and content in ${name}, but has ${quote(items)}`);
  }
  const untrained: number[] = [];
  const turns = readTurns(items);
  if (turns) return { list: turns, untrained, isMarked: false };
  if (items.length > 0 && items.every((item) => typeof item === 'string')) {
    const list = items.map((content, i): Message => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
    return { list, untrained, isMarked: false };
  }
  const list = items.map((item: unknown, i) => {
    if (!isObject(item)) throw unusable(`has ${quote(item)} as message ${i + 1}, which must have role and content`);
    if (purpose === 'render' && hasTemplateNames(item)) {
      checkDepth(item, `message ${i + 1}`);
      return item as Message;
    }
    const { message, isTrained } = readMessage(item, i + 1, leftOut);
    if (!isTrained && message.role === 'assistant') untrained.push(i);
    return message;
  });
  return { list, untrained, isMarked: untrained.length > 0 };
}

/** The messages of a prompt or an answer that may be a text: a list, one message, or either as JSON text. */
export function messagesIn(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value as unknown[];
  const list: unknown = typeof value === 'string' ? parseList(value) : [value];
  const isMessage = (item: unknown) => isObject(item) && firstOf(item, ROLE_NAMES) !== undefined;
  return Array.isArray(list) && list.length > 0 && list.every(isMessage) ? list : undefined;
}

/** A list that a table holds as JSON text; anything else as it is. */
function parseList(text: string): unknown {
  if (!text.trimStart().startsWith('[')) return text;
  return parseJson(text) ?? text;
}

/** Turns as objects with what is asked and what is answered, and nothing else. */
function readTurns(items: readonly unknown[]): Message[] | undefined {
  const pair = isObject(items[0])
    ? TURNS.find((names) => names.every((name) => fieldOf(items[0] as RowValue, name) !== undefined))
    : undefined;
  if (!pair) return undefined;
  const texts = items.map((item) => pair.map((name) => (isObject(item) ? fieldOf(item, name) : undefined)));
  const isTurn = (item: unknown) => Object.keys(item as object).length === 2;
  if (!items.every(isTurn) || !texts.flat().every((text) => typeof text === 'string')) return undefined;
  return texts.flatMap(([asked, answered]) => [
    { role: 'user', content: asked as string },
    { role: 'assistant', content: answered as string },
  ]);
}

function readMessage(item: RowValue, place: number, leftOut: LeftOut): { message: Message; isTrained: boolean } {
  const roleName = firstOf(item, ROLE_NAMES) ?? 'role';
  const contentName = firstOf(item, CONTENT_NAMES) ?? 'content';
  const written = Object.hasOwn(item, roleName) ? item[roleName] : undefined;
  const role =
    typeof written === 'string' ? (ROLES.get(written) ?? ROLES.get(written.trim().toLowerCase())) : undefined;
  if (role === undefined) {
    throw unusable(
      `has the role ${quote(written)} in message ${place}; use system, developer, user, assistant or tool`,
    );
  }
  if (isPlain(item, role)) return { message: item as Message, isTrained: true };

  const message: Record<string, unknown> = {};
  let trained: boolean | undefined;
  for (const [name, value] of Object.entries(item)) {
    if (name === roleName) message['role'] = role;
    else if (name === contentName) message['content'] = value;
    else if (value === null) continue;
    else if (MEDIA.has(name) && fieldOf(item, name) !== undefined) {
      throw unusable(`has ${name} in message ${place}, but only text is trained`);
    } else if (WEIGHTS.has(name)) trained = readWeight(name, value, value, role, place, trained);
    else if (OMISSIONS.has(name)) trained = readWeight(name, value, opposite(value), role, place, trained);
    else if (name === 'train_detail')
      throw unusable(`has train_detail in message ${place}: parts of a message can't be left untrained`);
    else {
      checkDepth(value, `${name} of message ${place}`);
      setOwn(message, name, value);
    }
  }
  if (role === CALL) readCallText(message, place);
  else readFields(message, place, leftOut);
  return { message: message as unknown as Message, isTrained: trained !== false };
}

/** Whether role and content have the names that templates know them by; either may be missing where nothing stands for it. */
function hasTemplateNames(item: RowValue): boolean {
  return typeof item['role'] === 'string' && (firstOf(item, CONTENT_NAMES) ?? 'content') === 'content';
}

/** Whether a message is as templates take it already. */
function isPlain(item: RowValue, role: string): boolean {
  if (role === CALL || item['role'] !== role || typeof item['content'] !== 'string') return false;
  return Object.keys(item).length === 2 && Object.hasOwn(item, 'role') && Object.hasOwn(item, 'content');
}

function firstOf(item: RowValue, names: readonly string[]): string | undefined {
  return names.find((name) => Object.hasOwn(item, name) && item[name] !== null);
}

/** Content as text, calls as a list of objects. */
function readFields(message: Record<string, unknown>, place: number, leftOut: LeftOut): void {
  const dropped = () => leftOut.remark('Null fields inside tool calls and tools are left out, as TRL does.');
  if (isObject(message['function_call']) && message['tool_calls'] === undefined) {
    // The older form of OpenAI's tool_calls.
    message['tool_calls'] = [{ type: 'function', function: message['function_call'] }];
    delete message['function_call'];
  }
  const calls = message['tool_calls'];
  if (calls !== undefined) {
    if (!Array.isArray(calls) || !calls.every(isObject)) {
      throw unusable(`must have a list of objects as tool_calls of message ${place}, but has ${quote(calls)}`);
    }
    if (calls.length === 0) delete message['tool_calls'];
    else message['tool_calls'] = withoutNulls(calls, dropped);
  }
  const { content } = message;
  if (Array.isArray(content)) {
    const { text, reasoning } = joinParts(content, place, leftOut);
    message['content'] = text;
    if (reasoning === undefined) return;
    if (message['role'] !== 'assistant' || message['reasoning_content'] !== undefined) {
      throw unusable(`has reasoning among the parts of message ${place}, where it has no place`);
    }
    message['reasoning_content'] = reasoning;
  } else if (typeof content !== 'string') {
    // The answer that only calls tools has none.
    const onlyCalls = message['role'] === 'assistant' && message['tool_calls'] !== undefined;
    if (onlyCalls && (content === null || content === undefined)) return;
    if (message['role'] === 'assistant' && (content === null || content === undefined)) message['content'] = '';
    else throw unusable(`must have text as the content of message ${place}, but has ${quote(content ?? null)}`);
  }
}

/** ShareGPT's function_call: one call or a list of them, as JSON text. */
function readCallText(message: Record<string, unknown>, place: number): void {
  const { content } = message;
  const value = typeof content === 'string' ? parseJson(content) : content;
  const calls: unknown[] = Array.isArray(value) ? value : [value];
  checkDepth(calls, `message ${place}`);
  if (calls.length === 0 || !calls.every((call) => isObject(call) && typeof call['name'] === 'string')) {
    throw unusable(`must have a call as JSON with name and arguments in message ${place}, but has ${quote(content)}`);
  }
  message['role'] = 'assistant';
  message['content'] = '';
  message['tool_calls'] = calls.map((call) => ({ type: 'function', function: call }));
}

/** The weight that an omission stands for; any other value as it is. */
function opposite(value: unknown): unknown {
  return value === true || value === 1 ? 0 : value === false || value === 0 ? undefined : value;
}

/** Whether a message is trained; `weight` is what the field's `value` means, undefined where it says nothing. */
function readWeight(
  name: string,
  value: unknown,
  weight: unknown,
  role: string,
  place: number,
  before: boolean | undefined,
): boolean | undefined {
  if (weight === undefined) return before;
  const trained = weight === 1 || weight === true ? true : weight === 0 || weight === false ? false : undefined;
  if (trained === undefined) {
    throw unusable(
      `has the ${name} ${quote(value)} in message ${place}: a message is trained (1) or not (0), with nothing between`,
    );
  }
  if (before !== undefined && before !== trained) {
    throw unusable(`says of message ${place} both that it is trained and that it isn't (${name} ${quote(value)})`);
  }
  if (trained && role !== 'assistant' && role !== CALL) {
    throw unusable(
      `has the ${name} ${quote(value)} in message ${place}, but only messages of the assistant can be trained, and it is the ${role}'s`,
    );
  }
  return trained;
}
