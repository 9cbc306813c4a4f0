import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/core/errors';
import { parseDataset } from '../../../src/data/dataset';
import { hasReference, reference } from '../../support/reference';
import { firstMessages, jsonl, messagesOf, options, refusal, turns } from './datasets';

describe('formats', () => {
  it.each([
    ['alpaca', { instruction: 'Say', input: 'x', output: 'y' }, turns('Say\nx', 'y')],
    ['alpaca', { instruction: 'Say', input: '', output: 'y' }, turns('Say', 'y')],
    ['alpaca', { instruction: 'Say', input: null, output: 'y' }, turns('Say', 'y')],
    ['question-answer', { question: 'q', answer: 'a', source_text: 's' }, turns('q', 'a')],
    ['prompt-completion', { prompt: 'p', completion: ' c' }, turns('p', ' c')],
    [
      'prompt-completion',
      { prompt: turns('p', 'c').slice(0, 1), completion: turns('p', 'c').slice(1) },
      turns('p', 'c'),
    ],
    ['messages', { messages: turns('u', 'a') }, turns('u', 'a')],
    [
      'messages',
      {
        conversations: [
          { from: 'human', value: 'u' },
          { from: 'gpt', value: 'a' },
        ],
      },
      turns('u', 'a'),
    ],
  ])('reads %s from %j', async (format, row, messages) => {
    const dataset = await parseDataset('data.json', JSON.stringify([row]), options);
    expect(dataset.format).toBe(format);
    expect(dataset.examples).toEqual([
      { kind: 'conversation', row: 1, where: 'data.json, row 1', conversation: { messages }, untrained: [] },
    ]);
  });

  it('reads pre-tokenised rows as they stand; without labels all is trained', async () => {
    const rows = [{ input_ids: [1, 2], labels: [-100, 2] }, { input_ids: [3, 4] }];
    const { examples, format } = await parseDataset('d.jsonl', jsonl(...rows), options);
    expect(format).toBe('tokens');
    expect(examples[0]).toMatchObject({ inputIds: [1, 2], labels: [-100, 2] });
    expect(examples[1]).toMatchObject({ inputIds: [3, 4], labels: [3, 4] });
  });

  it('reads bytes with a BOM, CRLF, blank lines, and JSONL that is called .json', async () => {
    const text = `\uFEFF${JSON.stringify({ question: 'ü', answer: 'a' })}\r\n\r\n${JSON.stringify({ question: 'b', answer: 'c' })}\r\n`;
    const { examples } = await parseDataset('data.json', new TextEncoder().encode(text), options);
    expect(examples.map(({ row, where }) => [row, where])).toEqual([
      [1, 'data.json, line 1'],
      [2, 'data.json, line 3'],
    ]);
    expect((await messagesOf(text.slice(1)))[0]).toEqual(turns('ü', 'a'));
  });
});

describe('a row that can not be used is left out with the reason', () => {
  it.each([
    [{ question: 'q' }, /has question, but no answer to it: add answer$/],
    [{ question: 'q', Antwort: 'a' }, /has question, but no answer to it: call Antwort answer, where that is it$/],
    [{ prompt: 'p', id: 1, source: 's' }, /has prompt, but no answer to it: add completion$/],
    [{ question: 'q', answer: null }, /has question, but no answer to it: add answer/],
    [{ question: 'q', answer: ' \n' }, /has an empty answer/],
    [{ question: 'q', answer: 7 }, /must have text in answer, but has 7/],
    [{ question: 7, answer: 'a' }, /must have text in question, but has 7/],
    [{ question: '', answer: 'a' }, /has an empty question/],
    [{ instruction: 'i' }, /has instruction, but no answer to it: add output/],
    [{ answer: 'a' }, /has answer, but nothing that it answers: add question/],
    [{ prompt: 'p', chosen: 'c', rejected: 'r' }, /has chosen: a preference pair .* dpo/],
    [{ instruction: 'i', output: 'o', rejected: 'z' }, /has rejected: .* dpo/],
    [{ prompt: 'p', completion: 'c', label: true }, /has a label .* kto/],
    [{ messages: turns('u', 'a'), label: false }, /has a label .* kto/],
    [{ messages: turns('u', 'a'), kto_tag: 'False' }, /has a kto_tag .* kto/],
    [{ prompt: 'p', completions: ['a', 'b'] }, /has completions: several answers/],
    [{ prompt: 'p', completion: ['a', 'b'] }, /has several texts in completion/],
    [{ messages: turns('u', 'a'), images: ['x.png'] }, /has images, but only text/],
    [{ prompt: 'p', completion: 'c', audio: { path: 'x' } }, /has audio, but only text/],
    [{ prompt: 'p', completion: 'c', weight: 0.5 }, /has the weight 0.5/],
    [{ prompt: 'p', completion: 'c', sample_weight: '1' }, /has the sample_weight "1"/],
    [
      { message_tree_id: 't', parent_id: null, role: 'prompter', text: 'x' },
      /has message_tree_id: .* tree of messages/,
    ],
    [{ role: 'user', content: 'x' }, /is a single message/],
    [{ body: 'x' }, /has only "body"; it needs question and answer, or prompt and completion/],
    [{ body: 'x', reply: 'y' }, /has "body", "reply"; name them question and answer, or prompt and completion/],
    [{}, /has no field with a value/],
    [{ instruction: null }, /has no field with a value/],
    [{ messages: [] }, /has no message in messages/],
    [{ messages: 'x' }, /must have a list of messages .* in messages, but has "x"/],
    [{ messages: [{ role: 'user', content: 'u' }] }, /no message is the assistant's/],
    [{ messages: turns('u', '') }, /has an empty answer: message 2/],
    [{ messages: [...turns('u', ' '), ...turns('v', 'a')] }, /has an empty answer: message 2/],
    [{ messages: [{ role: 'wizard', content: 'u' }] }, /has the role "wizard" in message 1/],
    [{ messages: [{ role: 'user', content: [{ type: 'image', image: 'x' }] }] }, /has an image part in message 1/],
    [{ messages: [{ role: 'user', content: [{ image_url: { url: 'x' } }] }] }, /has an image_url part in message 1/],
    [{ messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, /has an input_audio part/],
    [{ messages: [{ role: 'user', content: 'u', images: ['x'] }, turns('', 'a')[1]] }, /has images in message 1/],
    [{ messages: [{ role: 'user', content: 5 }] }, /must have text as the content of message 1, but has 5/],
    [{ messages: [{ role: 'user', content: null }, ...turns('u', 'a')] }, /content of message 1, but has null/],
    [{ messages: [null] }, /has null as message 1/],
    [{ messages: [{ role: 'user', content: 'u', weight: 1 }, turns('', 'a')[1]] }, /only messages of the assistant/],
    [
      { messages: [turns('u', '')[0], { role: 'assistant', content: 'a', weight: 0.5 }] },
      /has the weight 0.5 in message 2/,
    ],
    [{ messages: [turns('u', '')[0], { role: 'assistant', content: 'a', train: false }] }, /nothing to train on/],
    [
      { messages: [turns('u', '')[0], { role: 'assistant', content: 'a', train: false, weight: 1 }] },
      /both that it is trained and that it isn't/,
    ],
    [
      { messages: [turns('u', '')[0], { role: 'assistant', content: 'a', tool_calls: 'x' }] },
      /list of objects as tool_calls/,
    ],
    [{ conversations: [{ from: 'function_call', value: 'no json' }] }, /must have a call as JSON/],
    [{ messages: turns('u', 'a'), tools: '{oops' }, /must have JSON in tools/],
    [{ messages: turns('u', 'a'), tools: { a: 1 } }, /must have a list of functions in tools/],
    [{ messages: turns('u', 'a'), context: 'It rains.' }, /has context beside messages/],
    [{ messages: turns('u', 'a'), history: [['q', 'a']] }, /has a history beside messages/],
    [{ instruction: 'i', output: 'o', history: 'x' }, /must have pairs of question and answer in history/],
    [{ instruction: 'Answer.', question: 'Why?', answer: 'a' }, /has instruction beside question and answer/],
    [{ system: 's', system_prompt: 't', question: 'q', answer: 'a' }, /has both system and system_prompt/],
    [
      { system: 's', messages: [{ role: 'system', content: 't' }, ...turns('u', 'a')] },
      /has a system message among its messages and another in system/,
    ],
    [{ text: ' ' }, /has an empty text/],
    [{ dialogue: 'A: hi', instruction: 'Sum up.', output: 'r' }, /has dialogue beside instruction and output/],
    [{ dialogue: 'A: hi', summary: 'r' }, /must have a list of messages .* in dialogue, but has "A: hi"/],
    [{ Prompt: 'p', Chosen: 'c', Rejected: 'r' }, /has chosen: a preference pair/],
    [
      {
        prompt: 'p',
        completion: [{ role: 'assistant', content: 'a', reasoning_content: 'x' }],
        reasoning_content: 'y',
      },
      /has reasoning_content beside prompt and completion/,
    ],
    [{ input_ids: [1, 2], labels: [1] }, /has 2 input_ids, but 1 labels/],
    [{ input_ids: [1, -5] }, /has a negative id in input_ids, at position 2/],
    [{ input_ids: [1, 2], labels: [1, -5] }, /has the label -5 at position 2/],
    [{ input_ids: [1.5] }, /list of token ids/],
    [{ input_ids: [1, 2], labels: [1, -100] }, /nothing to train on/],
    [{ input_ids: [1, 2, 3], completion_mask: [1, 0, 0] }, /nothing to train on/],
    [{ input_ids: [1, 2, 3], attention_mask: [1, 0, 1] }, /attention_mask with a hole at position 2/],
    [{ input_ids: [1, 2, 3], attention_mask: [0, 0, 0] }, /nothing but padding/],
    [{ input_ids: [1, 2, 3], assistant_masks: [0, 1, 0.5] }, /must have a 0 or 1 for each of its 3 input_ids/],
    [{ input_ids: [1, 2, 3], position_ids: [0, 1, 0] }, /several packed texts/],
  ])('%j', async (row, reason) => {
    const good = Array.from({ length: 10 }, () => ({ question: 'q', answer: 'a' }));
    const dataset = await parseDataset('d.jsonl', jsonl(...good, row), options);
    expect(dataset.examples).toHaveLength(10);
    expect(dataset.skipped).toEqual([{ row: 11, reason: expect.stringMatching(reason) }]);
    expect(dataset.notices.at(-1)).toMatch(/^1 of 11 rows is left out: row 11 /);
    expect(await refusal(jsonl(row))).toMatch(/^data\.jsonl: its only row can't be used: row 1 /);
  });
});

describe('rows that are left out', () => {
  const rows = (bad: number, good: number) => [
    ...Array.from({ length: bad }, () => ({ instruction: 'i', output: '' })),
    ...Array.from({ length: good }, () => ({ instruction: 'i', output: 'o' })),
  ];

  it('are named together: the first ten, then how many', async () => {
    const { notices, examples } = await parseDataset('d.jsonl', jsonl(...rows(12, 120)), options);
    expect(examples).toHaveLength(120);
    expect(notices).toEqual([
      '12 of 132 rows are left out: row 1 has an empty output (likewise rows 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more).',
    ]);
  });

  it('may be exactly the share that max_bad_rows says, though it has no exact value', async () => {
    const { skipped } = await parseDataset('d.jsonl', jsonl(...rows(29, 71)), { maxBadRows: 0.29 });
    expect(skipped).toHaveLength(29);
  });

  it.each(['loss_mask', 'completion_mask', 'train_on_turn', 'prompt_length'])(
    'are those with %s, where nothing can follow it',
    async (name) => {
      const row = { messages: turns('u', 'a'), [name]: [0, 1] };
      expect(await refusal(jsonl(row))).toContain(`row 1 has ${name}, which says what is trained`);
    },
  );

  it('may be as many as max_bad_rows allows, and never all', async () => {
    expect((await parseDataset('d.jsonl', jsonl(...rows(1, 9)), options)).skipped).toHaveLength(1);
    expect(await refusal(jsonl(...rows(2, 9)))).toBe(
      "data.jsonl: 2 of 11 rows can't be used, and max_bad_rows 0.1 allows no more than 1: row 1 has an empty output (likewise row 2). Mend them, or raise max_bad_rows to leave them out.",
    );
    const all = parseDataset('d.jsonl', jsonl(...rows(2, 0)), { maxBadRows: 1 });
    await expect(all).rejects.toThrow("d.jsonl: 2 of 2 rows can't be used: row 1 has an empty output");
  });

  it('are told by the commonest reasons, with broken lines among them, in their order', async () => {
    const lines = [
      ...rows(3, 40).map((row) => JSON.stringify(row)),
      '{"instruction": "i", "output": NaN}',
      '7',
      '{"messages": [{"role": "user", "content": "u"}]}',
      '{"prompt": "p"}',
    ];
    const { skipped, notices } = await parseDataset('d.jsonl', lines.join('\n'), { maxBadRows: 0.5 });
    expect(skipped.map(({ row }) => row)).toEqual([1, 2, 3, 44, 45, 46, 47]);
    expect(skipped[3]!.reason).toBe('is not valid JSON at line 44, column 32: NaN is not JSON, write null');
    expect(notices[0]).toMatch(
      /^7 of 47 rows are left out: row 1 has an empty output \(likewise rows 2 and 3\); row 44 .*; row 4. .*; other reasons for rows \d+ and \d+\.$/,
    );
  });
});

describe('hostile rows', () => {
  it('can not reach or borrow from a prototype', async () => {
    expect(await refusal('{"__proto__": {"question": "q", "answer": "a"}}')).toMatch(/has only "__proto__"/);
    expect(await refusal('{"question": "q", "__proto__": {"answer": "a"}}')).toMatch(
      /has question, but no answer to it/,
    );
    expect(await refusal('{"messages": [{"__proto__": {"role": "user", "content": "u"}}]}')).toMatch(/role undefined/);
    const message = '{"from": "gpt", "value": "a", "__proto__": {"polluted": 1}}';
    const [first] = firstMessages(await parseDataset('d.jsonl', `{"conversations": [${message}]}`, options));
    expect(Object.keys(first!)).toEqual(['role', 'content', '__proto__']);
    expect(first!['polluted']).toBeUndefined();
    expect(({} as { question?: string }).question).toBeUndefined();
  });

  it('are left out where they are nested too deeply', async () => {
    const deep = (open: string, close: string) => open.repeat(100_000) + close.repeat(100_000);
    const objects = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    expect(await refusal(`{"prompt": "p", "completion": "c", "tools": [${objects}]}`)).toMatch(
      /nested more than 100 levels/,
    );
    for (const text of [
      `{"prompt": "p", "completion": ${deep('[', ']')}}`,
      `{"prompt": "p", "completion": "c", "question": ${deep('[', ']')}, "context": ${objects}}`,
      deep('[', ']'),
      `[${objects}]`,
      `${objects}\n${deep('[', ']')}`,
    ]) {
      expect(await refusal(text)).toMatch(/^data\.jsonl/);
    }
  });

  it('give a dataset or a bad-data error, whatever the text', async () => {
    const rows = fc.oneof(
      fc.string(),
      fc.json(),
      fc.array(fc.json()).map((list) => `[${list.join()}]`),
    );
    await fc.assert(
      fc.asyncProperty(rows, async (text) => {
        try {
          expect((await parseDataset('d.json', text, options)).examples.length).toBeGreaterThan(0);
        } catch (error) {
          expect(errorCode(error)).toBe('bad-data');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe.skipIf(!hasReference)('files of the reference', () => {
  it.each([
    ['linz_title_fees.jsonl', 'question-answer', 63],
    ['alpaca_en_demo.json', 'alpaca', undefined],
    ['identity.json', 'alpaca', undefined],
    ['gsm8k_test.jsonl', 'question-answer', 1319],
    ['rasbt_instruction.json', 'alpaca', 1100],
    ['glaive_toolcall_en_demo.json', 'messages', 300],
    ['sql_eval_sqlite.csv', 'question-answer', 210],
  ])('%s is %s', async (file, format, rows) => {
    const dataset = await parseDataset(file, new Uint8Array(readFileSync(reference('datasets', file))), options);
    expect(dataset.format).toBe(format);
    if (rows !== undefined) expect(dataset.examples).toHaveLength(rows);
  });

  it.each([
    ['dpo_en_demo.json', /300 of 300 rows .* chosen.* dpo/],
    ['rasbt_preference.json', /1,100 of 1,100 rows .* chosen.* dpo/],
    ['kto_en_demo.json', /300 of 300 rows .* label .* kto/],
    ['mllm_demo.json', /6 of 6 rows .* images/],
    ['HumanEval.jsonl.gz', /164 of 164 rows .* has prompt, but no answer to it: add completion/],
    ['dataset_info.json', /only row .* "identity"/],
  ])('%s is refused by name', async (file, message) => {
    expect(await refusal(new Uint8Array(readFileSync(reference('datasets', file))), file)).toMatch(message);
  });
});
