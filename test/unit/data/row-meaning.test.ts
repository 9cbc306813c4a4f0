/** What a row means: which of its fields are used, refused, or named as left out. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import { quote } from '../../../src/core/format';
import { parseDataset } from '../../../src/data/dataset';
import { PromptReader } from '../../../src/data/examples/reader';
import { jsonl, options, turns } from './datasets';

describe('what a row means', () => {
  const read = async (row: unknown) => (await parseDataset('d.json', JSON.stringify([row]), options)).examples[0];
  const system = (content: string) => ({ role: 'system', content });
  it.each([
    [{ prompt: 'p', response: 'r' }, turns('p', 'r')],
    [{ query: 'p', answer: 'r' }, turns('p', 'r')],
    [{ input: 'p', output: 'r' }, turns('p', 'r')],
    [{ instruction: 'p', response: 'r' }, turns('p', 'r')],
    [{ instruction: '', input: 'p', output: 'r' }, turns('p', 'r')],
    [{ instruction: 'p', context: 'c', response: 'r' }, turns('c\n\np', 'r')],
    [{ instruction: 'p', context: '', response: 'r' }, turns('p', 'r')],
    [{ context: ['c', 'd'], question: 'q', answers: { text: ['a'], answer_start: [3] } }, turns('c\n\nd\n\nq', 'a')],
    [{ question: 'q', answer_keywords: ['a', 'b'] }, turns('q', 'a, b')],
    [{ system_prompt: 's', question: 'q', response: 'a' }, [system('s'), ...turns('q', 'a')]],
    [{ system: '', question: 'q', answer: 'a' }, turns('q', 'a')],
    [{ system: 's', messages: [system('s'), ...turns('u', 'a')] }, [system('s'), ...turns('u', 'a')]],
    [
      { system: 's', history: [['a', 'b']], instruction: 'c', output: 'd' },
      [system('s'), ...turns('a', 'b'), ...turns('c', 'd')],
    ],
    [{ conversations: ['a', 'b', 'c', 'd'] }, [...turns('a', 'b'), ...turns('c', 'd')]],
    [{ prompt: turns('p', '').slice(0, 1), completion: 'c' }, turns('p', 'c')],
    [{ prompt: turns('p', '')[0], completion: turns('', 'c')[1] }, turns('p', 'c')],
    [
      { prompt: JSON.stringify(turns('p', '').slice(0, 1)), completion: JSON.stringify(turns('', 'c').slice(1)) },
      turns('p', 'c'),
    ],
    [{ prompt: '[1, 2]', completion: '[{"a": 1}]' }, turns('[1, 2]', '[{"a": 1}]')],
    [{ prompt: 'p', completion: { role: 'assistant', content: 'c' } }, turns('p', 'c')],
    [{ messages: [], instruction: 'p', output: 'r' }, turns('p', 'r')],
    [{ problem: 'p', solution: 'r', answer: '3' }, turns('p', 'r')],
    [{ inputs: 'p', targets: 'r' }, turns('p', 'r')],
    [{ question: 'p', solution: 'r', answer: '3' }, turns('p', 'r')],
    [{ problem: 'p', generated_solution: 'r', expected_answer: '3' }, turns('p', 'r')],
    [{ user: 'p', assistant: 'r' }, turns('p', 'r')],
    [{ message_1: 'p', message_2: 'r', 'topic;': 't' }, turns('p', 'r')],
    [{ Context: 'p', Response: 'r' }, turns('p', 'r')],
    [{ Instruction: 'p', ' Input ': 'x', OUTPUT: 'r' }, turns('p\nx', 'r')],
    [{ dialogue: 'A: hi', instruction: 'Sum up:\nA: hi', output: 'r' }, turns('Sum up:\nA: hi', 'r')],
    [
      { question: 'p', answer: 'r', reasoning_content: 'hm' },
      [turns('p', '')[0], { ...turns('', 'r')[1], reasoning_content: 'hm' }],
    ],
    [
      { query: 'p', tools: [{ name: 'f' }], answers: '[{"name": "f", "arguments": {"a": 1}}]' },
      [
        turns('p', '')[0],
        { ...turns('', '')[1], tool_calls: [{ type: 'function', function: { name: 'f', arguments: { a: 1 } } }] },
      ],
    ],
    [
      {
        conversation: [
          { input: 'a', output: 'b' },
          { input: 'c', output: 'd' },
        ],
      },
      [...turns('a', 'b'), ...turns('c', 'd')],
    ],
    [{ messages: JSON.stringify(turns('u', 'a')) }, turns('u', 'a')],
    [
      { instruction: 'Say.', input: 'ja', output: 'ja', prompt: 'Below.\n\n### Instruction:\nSay.\n\n### Input:\nja' },
      turns('Say.\nja', 'ja'),
    ],
    [{ instruction: '', input: '', output: '', prompt: 'p', completion: 'r' }, turns('p', 'r')],
    [
      {
        messages: [
          { role: ' Human', content: 'u' },
          { role: 'GPT', content: 'a' },
        ],
      },
      turns('u', 'a'),
    ],
  ])('%j', async (row, messages) => {
    expect(await read(row)).toMatchObject({ conversation: { messages }, untrained: [] });
  });

  it('keeps the fields of messages in their order, drops null, and calls tools as OpenAI does', async () => {
    const row = {
      conversations: [
        { from: 'human', value: 'u', name: 'Ann', weight: null },
        { from: 'function_call', value: '{"name": "tide", "arguments": {"x": null}}' },
        { from: 'observation', value: '{}' },
        { thinking: 'hm', from: 'gpt', value: 'a' },
      ],
      tools: '[{"name": "tide", "parameters": {"default": null}}]',
      documents: [{ title: 't' }],
      chat_template_kwargs: { enable_thinking: false, other: null },
    };
    const example = await read(row);
    expect(example).toMatchObject({
      conversation: {
        messages: [
          { role: 'user', content: 'u', name: 'Ann' },
          {
            role: 'assistant',
            content: '',
            tool_calls: [{ type: 'function', function: { name: 'tide', arguments: { x: null } } }],
          },
          { role: 'tool', content: '{}' },
          { thinking: 'hm', role: 'assistant', content: 'a' },
        ],
        tools: [{ type: 'function', function: { name: 'tide', parameters: { default: null } } }],
        documents: [{ title: 't' }],
        variables: { enable_thinking: false },
      },
    });
    const messages = example?.kind === 'conversation' ? example.conversation.messages : [];
    expect(messages.map((message) => Object.keys(message).join())).toEqual([
      'role,content,name',
      'role,content,tool_calls',
      'role,content',
      'thinking,role,content',
    ]);
  });

  it('keeps null as the content of an answer that calls tools, and drops it inside of calls', async () => {
    const call = { type: 'function', function: { name: 'tide', arguments: { harbour: 'Bluff', pad: null } } };
    const assistant = { role: 'assistant', content: null, tool_calls: [call] };
    const dataset = await parseDataset(
      'd.json',
      JSON.stringify([{ messages: [turns('u', '')[0], assistant] }]),
      options,
    );
    const bare = { type: 'function', function: { name: 'tide', arguments: { harbour: 'Bluff' } } };
    expect(dataset.examples[0]).toMatchObject({
      conversation: { messages: [turns('u', '')[0], { role: 'assistant', content: null, tool_calls: [bare] }] },
    });
    expect(dataset.notices).toEqual(['Null fields inside tool calls and tools are left out, as TRL does.']);
  });

  it('joins parts of text, and takes those of reasoning aside', async () => {
    const parts = [
      { type: 'thinking', thinking: 'hm' },
      { type: 'text', text: 'a', image_url: null },
      { type: 'text', text: 'b' },
    ];
    expect(await read({ messages: [turns('u', '')[0], { role: 'assistant', content: parts }] })).toMatchObject({
      conversation: { messages: [turns('u', '')[0], { role: 'assistant', content: 'ab', reasoning_content: 'hm' }] },
    });
  });

  it('does not train what the row says is context, wherever a system message moves it', async () => {
    const prompt = turns('a', 'b');
    expect(
      await read({ system: 's', prompt: [...prompt, ...turns('c', '').slice(0, 1)], completion: 'd' }),
    ).toMatchObject({ conversation: { messages: [system('s'), ...prompt, ...turns('c', 'd')] }, untrained: [2] });
    const messages = [turns('a', '')[0], { role: 'assistant', content: '', train: false }, ...turns('c', 'd')];
    expect(await read({ messages })).toMatchObject({ untrained: [1] });
  });

  it('takes padding off token ids, and masks what a mask says', async () => {
    expect(
      await read({ input_ids: [0, 5, 6, 7, 2], attention_mask: [0, 1, 1, 1, 0], completion_mask: [0, 0, 1, 1, 1] }),
    ).toMatchObject({ kind: 'tokens', inputIds: [5, 6, 7], labels: [-100, 6, 7] });
  });

  it('reads a text alone as text', async () =>
    expect(await read({ text: 'Once', source: 's' })).toMatchObject({ kind: 'text', text: 'Once' }));
});

describe('fields that are left out are named', () => {
  const notices = async (...rows: unknown[]) => (await parseDataset('d.jsonl', jsonl(...rows), options)).notices;

  it('once, with how many rows have them where not all do', async () => {
    const row = { instruction: 'i', output: 'o', id: 1 };
    expect(await notices({ ...row, source: 's' }, row, row)).toEqual([
      'id, and source (in 1 of 3 rows) are left out: no format of a dataset uses them.',
    ]);
    expect(await notices({ ...row, id: null })).toEqual([]);
    expect(await notices({ ...row, 'odd name': 1, label: 3 })).toEqual([
      'label, id and "odd name" are left out: no format of a dataset uses them.',
    ]);
  });

  it('beside token ids', async () =>
    expect(await notices({ input_ids: [1, 2], token_type_ids: [0, 0], text: 'x' })).toEqual([
      'token_type_ids is left out: no format of a dataset uses it.',
      'text is left out: rows with input_ids are read by that.',
      'Rows of input_ids without labels are trained whole, prompts included.',
    ]));

  it('in the parts of messages', async () => {
    const content = [{ type: 'text', text: 'u', cache_control: { type: 'ephemeral' } }];
    expect(await notices({ messages: [{ role: 'user', content }, turns('', 'a')[1]] })).toEqual([
      'Parts of messages are read by type and text, without cache_control.',
    ]);
  });

  it('with what is read instead where a row fits several formats', async () => {
    const both = { messages: turns('u', 'a'), prompt: 'u', completion: 'a' };
    expect(await notices(both)).toEqual(['prompt and completion are left out: rows with messages are read by that.']);
    const alpaca = { instruction: 'Say.', output: 'o', prompt: '### Instruction: Say.', text: 'Say. o' };
    expect(await notices(alpaca)).toEqual([
      'prompt and text are left out: rows with instruction and output are read by those.',
    ]);
    const prompt = { prompt: turns('It rains.', '').slice(0, 1), completion: 'a' };
    expect(await notices({ ...prompt, context: ['It', 'rains'].slice(0, 1) })).toEqual([
      'context is left out: rows with prompt and completion are read by those.',
    ]);
    expect(await notices({ context: 'c', question: 'q', answers: ['a', 'b', 'a'] })).toEqual([
      'Of several texts in answers the first is trained, and the others are left out.',
    ]);
  });

  it('in files of several formats, which are all read', async () => {
    const dataset = await parseDataset(
      'd.jsonl',
      jsonl(
        { messages: turns('u', 'a'), instruction: null },
        { instruction: 'i', output: 'o' },
        { messages: turns('v', 'b') },
      ),
      options,
    );
    expect(dataset).toMatchObject({ format: 'messages and alpaca', skipped: [], notices: [] });
    expect(dataset.examples).toHaveLength(3);
  });
});

describe('every field of every row', () => {
  const text = fc.constantFrom('', 'a', 'Say ja.', 'true', '[]', '{"name": "f"}');
  const odd = fc.oneof(text, fc.constantFrom(null, 0, 1, 0.5, -1, true, false), fc.jsonValue({ maxDepth: 2 }));
  const message = fc.oneof(
    fc.record(
      {
        role: fc.constantFrom<unknown>('user', 'assistant', 'system', 'Human', 'tool', 'wizard', null, 3),
        content: fc.oneof({ weight: 4, arbitrary: text }, { weight: 1, arbitrary: odd }),
        from: fc.constantFrom<unknown>('human', 'gpt', 'function_call', null),
        value: text,
        weight: fc.constantFrom<unknown>(0, 1, 0.5, null),
        train: fc.boolean(),
        tool_calls: odd,
        reasoning_content: odd,
      },
      { requiredKeys: [] },
    ),
    odd,
  );
  const messages = fc.oneof(
    { weight: 4, arbitrary: fc.array(message, { maxLength: 4 }) },
    { weight: 1, arbitrary: odd },
  );
  const good = fc.constant(turns('Say ja.', 'ja'));
  const columns = Object.fromEntries([
    ...['messages', 'conversations', 'prompt', 'completion'].map((name) => [name, fc.oneof(text, good, messages)]),
    ...['instruction', 'input', 'output', 'question', 'answer', 'answers', 'query', 'response', 'text', 'context'].map(
      (name) => [name, fc.oneof({ weight: 4, arbitrary: text }, { weight: 1, arbitrary: odd })],
    ),
    ...['system', 'system_prompt', 'history', 'tools', 'documents', 'chat_template_kwargs', 'label', 'images'].map(
      (name) => [name, odd],
    ),
    ...['chosen', 'rejected', 'weight', 'id', 'source', '__proto__', 'answer_keywords', 'replies'].map((name) => [
      name,
      odd,
    ]),
    ...['input_ids', 'labels', 'attention_mask', 'completion_mask'].map((name) => [
      name,
      fc.oneof(fc.array(fc.integer({ min: -1, max: 2 }), { maxLength: 4 }), odd),
    ]),
  ]) as Record<string, fc.Arbitrary<unknown>>;
  // Half of the rows begin as good ones.
  const base = fc.constantFrom<Record<string, unknown>>(
    {},
    { instruction: 'i', output: 'o' },
    {},
    { messages: turns('u', 'a') },
    { prompt: 'p', completion: 'c' },
    {},
    { input_ids: [1, 2] },
  );
  const row = fc
    .uniqueArray(fc.constantFrom(...Object.keys(columns)), { minLength: 1, maxLength: 5 })
    .chain((names) => fc.tuple(base, ...names.map((name) => columns[name]!.map((value) => [name, value] as const))))
    .map(([fields, ...others]) => JSON.stringify({ ...fields, ...Object.fromEntries(others) }));

  /** Whether a row can be read as a prompt, or the code of the error. */
  const asks = (value: object) => {
    try {
      new PromptReader().read(value as Record<string, unknown>);
      return 'read';
    } catch (error) {
      return errorCode(error);
    }
  };

  it('is used, named as left out, or a row is left out with the reason', async () => {
    let used = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 6 }), async (rows) => {
        const { examples, skipped, notices } = await parseDataset(
          'd.jsonl',
          [...rows, '{"question": "q", "answer": "a"}'].join('\n'),
          { maxBadRows: 1 },
        );
        for (const text of rows) expect(['read', 'bad-data']).toContain(asks(JSON.parse(text) as object));
        const places = [...examples, ...skipped].map((one) => one.row).sort((a, b) => a - b);
        expect(places).toEqual([...rows, ''].map((_, i) => i + 1));
        for (const { reason } of skipped) expect(reason).toMatch(/^(has|must have|is|says) /);
        for (const example of examples) {
          if (example.row > rows.length) continue;
          used++;
          const fields = JSON.parse(rows[example.row - 1]!) as Record<string, unknown>;
          const shown = JSON.stringify(example);
          for (const name of ['chosen', 'rejected', 'images']) {
            expect([undefined, null, '', '[]']).toContain(
              Array.isArray(fields[name]) ? quote(fields[name]) : fields[name],
            );
          }
          for (const [name, value] of Object.entries(fields)) {
            const named = notices.some((notice) => notice.includes(name));
            // Masks, marks and numbers change labels; what holds no text is told by no text.
            if (named || typeof value !== 'string' || value === '' || name === '__proto__') continue;
            const inner = JSON.stringify(value).slice(1, -1);
            const isTools = name === 'tools' && (value === '[]' || shown.includes('"f"'));
            expect(isTools || shown.includes(inner), `${name} of ${rows[example.row - 1]!} in ${shown}`).toBe(true);
          }
        }
      }),
      { numRuns: 1500, seed: 9 },
    );
    expect(used).toBeGreaterThan(500);
  });
});
