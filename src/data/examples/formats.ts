/** Which fields of a row are read, and as what: told from the whole set of fields that a format needs. */
import { quote } from '../../core/format';
import type { DatasetFormat } from '../example';
import { listNames } from '../left-out';
import { marksRow, mayRefuse, refusedAlone } from './refusals';
import { TOKEN_FIELDS } from './tokens';
import { setOwn, type RowValue } from './fields';

/** A format: the fields that a row must have, and those that it may have. */
export interface FormatRule {
  readonly format: DatasetFormat;
  readonly kind: 'tokens' | 'messages' | 'pair' | 'text';
  /** The field that holds the messages, ids or text, or what is asked. */
  readonly main: string;
  /** The field with the answer, of a pair. */
  readonly answer?: string | undefined;
  readonly uses: readonly string[];
}

/** Columns with a system message of its own. */
export const SYSTEM_FIELDS = ['system', 'system_prompt', 'system_message'];

/** What a chat template gets beside messages. */
const TEMPLATE_FIELDS = ['tools', 'functions', 'documents', 'chat_template_kwargs'];

/** Fields with a conversation; some datasets have it there as a plain text, which is no list of messages. */
export const MESSAGE_LISTS = ['messages', 'conversations', 'conversation', 'dialogue', 'dialog', 'chat'];

/** What is asked and what is answered, the commoner pair first. */
const PAIRS: readonly (readonly [DatasetFormat, string, string])[] = [
  ['alpaca', 'instruction', 'output'],
  ['prompt-completion', 'prompt', 'completion'],
  ['question-answer', 'question', 'solution'],
  ['question-answer', 'question', 'answer'],
  ['alpaca', 'instruction', 'response'],
  ['alpaca', 'instruction', 'completion'],
  ['alpaca', 'instruction', 'answer'],
  ['question-answer', 'question', 'answers'],
  ['question-answer', 'question', 'answer_keywords'],
  ['question-answer', 'question', 'response'],
  ['question-answer', 'question', 'output'],
  ['question-answer', 'question', 'completion'],
  ['prompt-completion', 'prompt', 'response'],
  ['prompt-completion', 'prompt', 'answer'],
  ['prompt-completion', 'prompt', 'output'],
  ['prompt-completion', 'query', 'response'],
  ['prompt-completion', 'query', 'answer'],
  ['prompt-completion', 'query', 'output'],
  ['prompt-completion', 'query', 'answers'],
  ['question-answer', 'problem', 'solution'],
  ['question-answer', 'problem', 'generated_solution'],
  ['question-answer', 'problem', 'answer'],
  ['question-answer', 'question', 'generated_solution'],
  ['question-answer', 'question', 'sql'],
  ['question-answer', 'question', 'query'],
  ['prompt-completion', 'inputs', 'targets'],
  ['prompt-completion', 'input', 'output'],
  ['prompt-completion', 'input', 'response'],
  ['prompt-completion', 'input', 'completion'],
  ['prompt-completion', 'input', 'answer'],
  ['prompt-completion', 'input', 'target'],
  ['prompt-completion', 'user', 'assistant'],
  ['prompt-completion', 'message_1', 'message_2'],
  ['prompt-completion', 'context', 'response'],
];

/**
 * All formats in the order in which they go first where a row fits several: ids are nearest to what is trained, then
 * messages, then pairs; a text alone comes last.
 */
const RULES: readonly FormatRule[] = [
  { format: 'tokens', kind: 'tokens', main: 'input_ids', uses: TOKEN_FIELDS },
  ...MESSAGE_LISTS.map((main): FormatRule => ({
    format: 'messages',
    kind: 'messages',
    main,
    uses: [...SYSTEM_FIELDS, ...TEMPLATE_FIELDS],
  })),
  ...PAIRS.map(([format, main, answer]): FormatRule => ({
    format,
    kind: 'pair',
    main,
    answer,
    uses: [
      ...(main === 'instruction' ? ['input'] : []),
      ...['context', 'history', 'reasoning_content'].filter((name) => name !== main),
      ...SYSTEM_FIELDS,
      ...TEMPLATE_FIELDS,
    ],
  })),
  { format: 'text', kind: 'text', main: 'text', uses: [] },
];

/** Where only what is asked matters, an answer may be missing. */
const UNANSWERED: readonly FormatRule[] = [...new Set(PAIRS.map(([, main]) => main))].map((main) => ({
  ...RULES.find((known) => known.kind === 'pair' && known.main === main)!,
  answer: undefined,
}));

/** A field that asks beside an `assistant`, and says whose a row is anywhere else. */
const NAMES_SOMEBODY = 'user';

/** Fields that ask, or that an answer needs to be understood: never left out unless the prompt holds their text. */
export const ASKING_FIELDS: ReadonlySet<string> = new Set(
  PAIRS.map(([, main]) => main).filter((name) => name !== NAMES_SOMEBODY),
);

/** Every field that some format uses. */
const KNOWN: ReadonlySet<string> = new Set(
  RULES.flatMap(({ main, answer, uses }) => [main, ...(answer === undefined ? [] : [answer]), ...uses]),
);

/** How the rows with one set of fields are read. */
export interface RowPlan {
  readonly rule: FormatRule;
  /** The fields by which the row is read, for a message. */
  readonly readBy: string;
  /** Fields that may make the row unusable. */
  readonly checked: readonly string[];
  /** Fields of other formats. */
  readonly others: readonly string[];
  /** Fields that no format uses. */
  readonly unknown: readonly string[];
}

/**
 * What a row is read for: `train` wants an answer, `ask` takes what is asked only, and `render` all that a template gets,
 * as the row has it. The latter two take rows without an answer too.
 */
export type Purpose = 'train' | 'ask' | 'render';

/** Plans that are kept: rows of one file have few sets of fields, unless somebody made them up. */
const KEPT_PLANS = 1000;

/** Plans rows by their fields; null counts as absent, and so does an empty list. */
export class RowPlanner {
  private readonly plans = new Map<string, RowPlan | undefined>();

  constructor(private readonly purpose: Purpose) {}

  /** Undefined for a row that fits no format. */
  plan(row: RowValue): RowPlan | undefined {
    let key = '';
    for (const name of Object.keys(row)) {
      const value = row[name];
      if (value === null || (Array.isArray(value) && value.length === 0)) continue;
      // Of the fields that choose a format, empty texts may be there to fill a table, and others are no messages.
      key += `${name.length}${value === '' ? '=' : isNoConversation(name, value) ? '!' : ':'}${name}`;
    }
    if (this.plans.has(key)) return this.plans.get(key);
    const made = this.make(row);
    if (this.plans.size < KEPT_PLANS) this.plans.set(key, made);
    return made;
  }

  private make(row: RowValue): RowPlan | undefined {
    const names = Object.keys(row).filter((name) => row[name] !== null && !isEmptyList(row[name]));
    const filled = new Set(names.filter((name) => row[name] !== '' && !isNoConversation(name, row[name])));
    const present = new Set(names);
    const rules = this.purpose === 'train' ? [RULES] : [RULES, UNANSWERED];
    // A row of an instruction alone that has an empty output does have that format, if no other fits better.
    const rule = [filled, present]
      .flatMap((fields) => rules.map((some) => some.find((known) => fits(known, fields))))
      .find((found) => found !== undefined);
    if (!rule) return undefined;
    const used = new Set([rule.main, rule.answer, ...rule.uses]);
    const rest = names.filter((name) => !used.has(name));
    const isChecked = (name: string) => mayRefuse(name) && (rule.kind === 'text' || !refusedAlone(name));
    return {
      rule,
      readBy: listNames(rule.answer === undefined ? [rule.main] : [rule.main, rule.answer]),
      checked: rest.filter(isChecked).sort(),
      others: rest.filter((name) => KNOWN.has(name)),
      unknown: rest.filter((name) => !KNOWN.has(name) && !isChecked(name)),
    };
  }
}

function fits({ main, answer }: FormatRule, fields: ReadonlySet<string>): boolean {
  return fields.has(main) && (answer === undefined || fields.has(answer));
}

/** Whether a field for messages has a text, or something else that holds none. */
function isNoConversation(name: string, value: unknown): boolean {
  if (!MESSAGE_LISTS.includes(name) || Array.isArray(value)) return false;
  return typeof value !== 'string' || !value.trimStart().startsWith('[');
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** The names of all these, for a suggestion. */
export const ROW_FIELDS: readonly string[] = [...KNOWN];

/** Whether some format of single answers uses a field. */
export function isRowField(name: string): boolean {
  return KNOWN.has(name);
}

/** Whether an object has a field that a row would have. */
export function hasRowField(value: RowValue): boolean {
  return Object.keys(value)
    .map(plainName)
    .some((name) => name !== NAMES_SOMEBODY && (KNOWN.has(name) || marksRow(name)));
}

function plainName(name: string): string {
  return name.trim().toLowerCase();
}

/** The row with known fields by their plain names: `Question` and ` question` are `question`, where there is no other. */
export function withPlainNames(row: RowValue): RowValue {
  const renamed = new Map<string, string>();
  for (const name of Object.keys(row)) {
    const plain = plainName(name);
    if (plain !== name && (KNOWN.has(plain) || mayRefuse(plain)) && !Object.hasOwn(row, plain))
      renamed.set(name, plain);
  }
  if (renamed.size === 0 || new Set(renamed.values()).size < renamed.size) return row;
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) setOwn(plain, renamed.get(name) ?? name, value);
  return plain;
}

/** What a field is usually called beside another: the name to give first, of the many that are read. */
const USUAL_ANSWER: Readonly<Record<string, string>> = { question: 'answer', query: 'response', context: 'response' };
const USUAL_PAIR = ['question', 'answer'] as const;

const OTHER_FORMATS = 'prompt and completion, instruction and output, messages, text, or input_ids and labels';

/** Why a row fits no format, and the likeliest way to mend it. */
export function describeMisfit(row: RowValue): string {
  const names = Object.keys(row);
  const empty = MESSAGE_LISTS.find((name) => names.includes(name) && isEmptyList(row[name]));
  if (empty !== undefined) return `has no message in ${empty}`;
  const present = names.filter((name) => row[name] !== null && !isEmptyList(row[name]));
  const asking = PAIRS.find(([, main]) => present.includes(main));
  if (asking) {
    const [, main, answer] = asking;
    return `has ${main}, but no answer to it: ${call(USUAL_ANSWER[main] ?? answer, present, [main])}`;
  }
  const answering = PAIRS.find(([, , answer]) => present.includes(answer));
  if (answering) {
    const [, main, answer] = answering;
    return `has ${answer}, but nothing that it answers: ${call(main, present, [answer])}`;
  }
  if (
    (present.includes('role') && present.includes('content')) ||
    (present.includes('from') && present.includes('value'))
  ) {
    return 'is a single message: a row holds a whole conversation, as a list in messages';
  }
  const [first, ...others] = present.slice(0, 8).map(quote);
  if (first === undefined) return `has no field with a value; it needs ${listNames(USUAL_PAIR)}, or ${OTHER_FORMATS}`;
  if (others.length === 0) return `has only ${first}; it needs ${listNames(USUAL_PAIR)}, or ${OTHER_FORMATS}`;
  return `has ${[first, ...others].join(', ')}; name them ${listNames(USUAL_PAIR)}, or ${OTHER_FORMATS}`;
}

/** Asks for a field: the one beside `known` that may be meant is to be called so, or there is to be one. */
function call(wanted: string, present: readonly string[], known: readonly string[]): string {
  const others = present.filter((name) => !known.includes(name) && !KNOWN.has(name));
  const meant = others.length === 1 ? others[0] : undefined;
  return meant === undefined ? `add ${wanted}` : `call ${listNames([meant])} ${wanted}, where that is it`;
}
