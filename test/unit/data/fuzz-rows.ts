/** Made-up rows of a dataset: good ones of every format, with known and unknown fields of any type put into them. */
import fc from 'fast-check';

export type Row = Record<string, unknown>;

/** Where a field stands: `['messages', 1, 'weight']`. */
export type Path = readonly (string | number)[];

const words = fc.constantFrom(
  'Say ja.',
  'ja',
  'The tide is low.',
  'true',
  '7',
  ' two words ',
  'Ünïcode 😀',
  '[]',
  '{"a": 1}',
);
const blank = fc.constantFrom('', ' ', null, [], {});
const odd = fc.oneof(
  blank,
  words,
  fc.constantFrom(0, 1, 0.5, -1, 1e300, true, false),
  fc.jsonValue({ maxDepth: 3 }),
  fc.constant({ a: null, b: [null, { c: null }] }),
);
const bit = fc.constantFrom<unknown>(0, 1, true, false, 0.5, '1', null);
const bits = fc.array(fc.constantFrom<unknown>(0, 1, true), { minLength: 4, maxLength: 4 });

const called = { type: 'function', function: { name: 'tide', arguments: { harbour: 'Bluff', unit: null } } };
const tool = { type: 'function', function: { name: 'tide', parameters: { type: 'object', default: null } } };
const calls = fc.constantFrom<unknown>(
  [called],
  [called, { ...called, id: 'c2' }],
  [{ function: { name: 'f', arguments: '{}' } }],
  [],
  null,
);

/** Fields of messages, with what they usually hold. */
const MESSAGE_FIELDS: Record<string, fc.Arbitrary<unknown>> = {
  tool_calls: calls,
  function_call: fc.constantFrom<unknown>({ name: 'tide', arguments: '{}' }, null),
  reasoning_content: words,
  reasoning: words,
  thinking: words,
  thought: words,
  name: words,
  tool_call_id: words,
  images: fc.constantFrom<unknown>(['x.png'], [], null),
  weight: bit,
  train: bit,
  loss_weight: bit,
  trainable: bit,
  train_on_turn: bit,
  loss: bit,
  train_detail: odd,
  refusal: fc.constant(null),
  annotations: fc.constantFrom<unknown>([], null, ['x']),
  content: fc.oneof(
    words,
    blank,
    fc.array(
      fc.oneof(
        words,
        words.map((text) => ({ type: 'text', text })),
        words.map((text) => ({ type: 'text', text, cache_control: { type: 'x' }, image_url: null })),
        words.map((thinking) => ({ type: 'thinking', thinking, signature: 's' })),
        fc.constant({ type: 'image', image: 'x.png' }),
      ),
      { maxLength: 3 },
    ),
  ),
  value: words,
  role: fc.constantFrom<unknown>('user', 'assistant', 'system', 'developer', 'tool', 'Human', 'ipython', 'wizard'),
  from: fc.constantFrom<unknown>('human', 'gpt', 'function_call', 'observation'),
  id: odd,
  text: words,
  parts: odd,
};

const pairs = fc.array(fc.tuple(words, words), { minLength: 1, maxLength: 3 });
const chat = fc
  .record({ system: fc.option(words), turns: pairs, call: fc.boolean() })
  .map(({ system, turns, call }) => [
    ...(system === null ? [] : [{ role: 'system', content: system }]),
    ...turns.flatMap(([user, assistant]): Row[] => [
      { role: 'user', content: user },
      { role: 'assistant', content: assistant },
    ]),
    ...(call
      ? [
          { role: 'user', content: 'Tide?' },
          { role: 'assistant', content: null, tool_calls: [called] },
          { role: 'tool', content: '1.4', tool_call_id: 'c1' },
          { role: 'assistant', content: '1.4 m' },
        ]
      : []),
  ]);
const shareGpt = chat.map((messages) =>
  messages.map(({ role, content, ...rest }: Row) => ({
    from: { user: 'human', assistant: 'gpt' }[role as string] ?? role,
    value: content,
    ...rest,
  })),
);
const ids = fc.constantFrom([5, 6, 7, 8]);

/** Rows that are good as they are. */
const BASES: readonly fc.Arbitrary<Row>[] = [
  fc.record(
    { instruction: words, input: fc.oneof(words, blank), output: words },
    { requiredKeys: ['instruction', 'output'] },
  ),
  fc.record({ prompt: words, completion: words }),
  fc.record({ question: words, answer: words, context: words }, { requiredKeys: ['question', 'answer'] }),
  pairs.map(([[user, assistant] = ['', '']]) => ({
    prompt: [{ role: 'user', content: user }],
    completion: [{ role: 'assistant', content: assistant }],
  })),
  chat.map((messages) => ({ messages })),
  chat.map((messages) => ({ messages, tools: [tool] })),
  shareGpt.map((conversations) => ({ conversations })),
  fc.record({ Question: words, ' Answer': words, reasoning_content: words }, { requiredKeys: ['Question', ' Answer'] }),
  fc.record({
    query: words,
    tools: fc.constant([tool.function]),
    answers: fc.constantFrom(JSON.stringify([called.function]), '[]', 'x'),
  }),
  fc.record({ user: words, assistant: words }),
  fc.record({ text: words }),
  fc.record(
    { input_ids: ids, labels: ids, attention_mask: bits, completion_mask: bits, assistant_masks: bits },
    { requiredKeys: ['input_ids'] },
  ),
];

/** Fields of rows, with what they usually hold. */
const ROW_FIELDS: Record<string, fc.Arbitrary<unknown>> = {
  tools: fc.constantFrom<unknown>([tool], JSON.stringify([tool]), [tool.function], [], '[]', {}),
  functions: fc.constantFrom<unknown>([tool.function], JSON.stringify([tool.function]), []),
  documents: fc.constantFrom<unknown>([{ title: 't', text: 'x' }], [], ['d']),
  chat_template_kwargs: fc.constantFrom<unknown>({ enable_thinking: false }, { x: 1 }, {}, { enable_thinking: null }),
  system: words,
  system_prompt: words,
  system_message: words,
  history: fc.oneof(pairs, fc.constantFrom<unknown>([], [['a']], 'x')),
  context: fc.oneof(words, fc.array(words, { maxLength: 2 })),
  input: words,
  reasoning_content: words,
  reasoning: words,
  thinking: words,
  tool_calls: calls,
  images: fc.constantFrom<unknown>(['x.png'], [], null),
  image: fc.constantFrom<unknown>({ bytes: 'x', path: null }, 'x.png', null),
  weight: bit,
  train: bit,
  loss_weight: bit,
  label: bit,
  kto_tag: bit,
  chosen: words,
  rejected: fc.oneof(words, chat),
  attention_mask: bits,
  completion_mask: bits,
  loss_mask: bits,
  position_ids: fc.constantFrom([0, 1, 2, 3], [0, 1, 0, 1]),
  seq_lengths: fc.constantFrom([4], [2, 2]),
  labels: fc.constantFrom([5, 6, 7, 8], [-100, 6, 7, 8], [9, 9, 9, 9]),
  messages: fc.oneof(chat, fc.constant([])),
  conversations: shareGpt,
  prompt: words,
  completion: words,
  instruction: words,
  output: words,
  question: words,
  answer: words,
  answers: fc.oneof(
    fc.array(words, { maxLength: 2 }),
    words.map((text) => ({ text: [text], answer_start: [0] })),
  ),
  response: words,
  solution: words,
  dialogue: fc.oneof(words, chat),
  user: words,
  Instruction: words,
  Rejected: words,
  Label: bit,
  'Tools ': fc.constant([tool]),
  text: words,
  id: odd,
  source: odd,
  meta: odd,
  score: odd,
  ['__proto__']: odd,
};

type Change = readonly [at: number, name: string, value: unknown];

/** A field out of a table: mostly what it usually holds, at times anything. */
function fieldOf(table: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Change> {
  return fc
    .constantFrom(...Object.keys(table))
    .chain((name) =>
      fc.tuple(
        fc.nat({ max: 9 }),
        fc.constant(name),
        fc.oneof(
          { weight: 6, arbitrary: table[name]! },
          { weight: 1, arbitrary: odd },
          { weight: 1, arbitrary: blank },
        ),
      ),
    );
}

/** Rows as a file would hold them. */
export const fuzzedRows: fc.Arbitrary<Row> = fc
  .tuple(
    fc.oneof(...BASES),
    fc.array(fieldOf(ROW_FIELDS), { maxLength: 4 }),
    fc.array(fieldOf(MESSAGE_FIELDS), { maxLength: 3 }),
  )
  .map(([base, fields, messageFields]) => {
    const filled = { ...base };
    for (const [, name, value] of fields) define(filled, name, value);
    const row = copyOf(filled);
    const lists = Object.values(row).filter((value) => Array.isArray(value) && value.some(isObject)) as unknown[][];
    for (const [at, name, value] of messageFields) {
      const list = lists[at % Math.max(1, lists.length)];
      const message = list?.[at % list.length];
      if (isObject(message)) define(message, name, value);
    }
    return copyOf(row);
  });

function copyOf(row: Row): Row {
  return JSON.parse(JSON.stringify(row)) as Row;
}

function define(target: Row, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The places of all fields of a row, of the messages in it, and of the parts of their contents. */
export function pathsOf(row: Row): Path[] {
  const lists = ['messages', 'conversations', 'prompt', 'completion'];
  const fields = Object.keys(row).map((name): Path => [name]);
  const messages = lists.flatMap((name) => fieldsOfItems([name], row[name]));
  const parts = messages
    .filter((path) => path.at(-1) === 'content')
    .flatMap((path) => fieldsOfItems(path, valueAt(row, path)));
  return [...fields, ...messages, ...parts];
}

function fieldsOfItems(path: Path, list: unknown): Path[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: unknown, i) =>
    isObject(item) ? Object.keys(item).map((name): Path => [...path, i, name]) : [],
  );
}

export function valueAt(row: Row, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], row);
}

/** The row without the field. */
export function without(row: Row, path: Path): Row {
  const copy = copyOf(row);
  const holder = valueAt(copy, path.slice(0, -1)) as Row;
  delete holder[path.at(-1)!];
  return copy;
}
