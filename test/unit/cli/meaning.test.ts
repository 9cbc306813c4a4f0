/** What a fine-tune could lose in silence, kind by kind: trained as it is meant, or said before training. */
import { writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { dataFolder, show } from './data-support';

const { rowsFile, textModel, remove } = dataFolder();
afterAll(remove);

const system = (content: string) => ({ role: 'system', content });
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string | null, more: object = {}) => ({ role: 'assistant', content, ...more });

const TALK = { messages: [user('One?'), assistant('1'), user('Two?'), assistant('2')] };
const PROMPT = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
const TURNS = `{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') + '<|end|>' }}{% endfor %}${PROMPT}`;
const ASKED = /asks for the answers of row 1 in another context than it trains them in/;
const CUT = /leaves out or changes a part of the answer in row 1/;
const OPEN = /puts no token that ends the turn after an answer in row 1/;
const PER_ANSWER = 'Give each answer a row of its own that ends with it, with weight: 0 on the answers before.';

/** Rows as they are trained, with the notices in one text. */
async function read(rows: readonly object[], model: string, ...more: string[]) {
  const { error, rows: shown, summary } = await show(rowsFile(...rows), model, ...more);
  return {
    error,
    marked: shown.map(({ marked }) => marked),
    notices: summary?.notices ?? [],
    skipped: summary?.skipped ?? [],
  };
}

/** Each answer of a conversation in a row of its own, as a notice advises. */
function rowPerAnswer({ messages }: { messages: readonly { role: string }[] }): object[] {
  return messages.flatMap(({ role }, at) => {
    if (role !== 'assistant') return [];
    const context = messages.slice(0, at).map((m) => (m.role === 'assistant' ? { ...m, weight: 0 } : m));
    return [{ messages: [...context, messages[at]!] }];
  });
}

describe('a template that is read as it is meant', () => {
  test('CRLF line ends print as LF', async () => {
    const lines =
      '{% for m in messages %}\n<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}\n{% if add_generation_prompt %}\n<|assistant|>\n{% endif %}\n';
    const [unix, windows] = [
      await read([TALK], textModel(lines)),
      await read([TALK], textModel(lines.replaceAll('\n', '\r\n'))),
    ];
    expect(unix.marked).toEqual([
      '<|user|>\nOne?<|end|>\n<|assistant|>\n⟦1<|end|>⟧\n<|user|>\nTwo?<|end|>\n<|assistant|>\n⟦2<|end|>⟧\n',
    ]);
    expect(windows).toEqual(unix);
  });

  test('continue and break keep what their turn has printed', async () => {
    const loops =
      "{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content }}{% continue %}{% endif %}" +
      `{{ '<|assistant|>' + m.content + '<|end|>' }}{% if loop.last %}{% break %}{% endif %}{% endfor %}${PROMPT}`;
    const { marked, notices } = await read([TALK], textModel(loops));
    expect(marked).toEqual(['<|user|>One?<|assistant|>⟦1<|end|>⟧<|user|>Two?<|assistant|>⟦2<|end|>⟧']);
    expect(notices).toEqual([]);
  });

  test("an empty system message isn't false", async () => {
    const compared =
      "{% if messages[0].role == 'system' %}{% set s = messages[0].content %}{% else %}{% set s = false %}{% endif %}" +
      "{% if s != false %}{{ '<|system|>' + s }}{% endif %}" +
      `{% for m in messages if m.role != 'system' %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}${PROMPT}`;
    const { marked } = await read([{ messages: [system(''), user('a'), assistant('b')] }], textModel(compared));
    expect(marked).toEqual(['<|system|><|user|>a<|end|><|assistant|>⟦b<|end|>⟧']);
  });

  test('variables reach it: one that it never reads, and one that changes nothing, are said', async () => {
    const closed = TURNS.replace(
      "'<|assistant|>' }}",
      "'<|assistant|>' }}{% if enable_thinking is false %}{{ '<think></think>' }}{% endif %}",
    );
    const row = { messages: [user('a'), assistant('<think></think>b')] };
    const plain = await read([row], textModel(closed));
    expect(plain.marked).toEqual(['<|user|>a<|end|><|assistant|>⟦<think></think>b<|end|>⟧']);
    const set = await read([row], textModel(closed), '--chat-template-kwargs', '{"enable_thinking": false}');
    expect(set.marked).toEqual(['<|user|>a<|end|><|assistant|><think></think>⟦b<|end|>⟧']);
    expect([plain.notices, set.notices]).toEqual([[], []]);
    const unread = await read([row], textModel(TURNS), '--chat-template-kwargs', '{"enable_thinking": false}');
    expect(unread.notices.join()).toMatch(/doesn't read enable_thinking of chat_template_kwargs/);
  });

  test('a developer is the system where the template knows none', async () => {
    const row = { messages: [{ role: 'developer', content: 'Be brief.' }, user('a'), assistant('b')] };
    const { marked } = await read([row], textModel(TURNS));
    expect(marked).toEqual(['<|system|>Be brief.<|end|><|user|>a<|end|><|assistant|>⟦b<|end|>⟧']);
    const knowing = await read(
      [row],
      textModel(TURNS.replace("'<|' + m.role", "('<|user|>#' if m.role == 'developer' else '') + '<|' + m.role")),
    );
    expect(knowing.marked[0]).toContain('<|user|>#<|developer|>Be brief.');
  });

  test('its refusal names the row', async () => {
    const strict = `{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system, please') }}{% endif %}{% endfor %}${TURNS}`;
    const bad = { messages: [system('s'), user('a'), assistant('b')] };
    const good = Array.from({ length: 10 }, () => TALK);
    const { skipped } = await read([...good, bad], textModel(strict));
    expect(skipped).toEqual([{ row: 11, reason: expect.stringContaining('No system, please') as string }]);
    expect((await read([bad], textModel(strict))).error).toMatch(/row 1 .*No system, please/);
  });

  test('the format of a model without one is said', async () => {
    const { marked, notices } = await read([TALK], textModel(undefined));
    expect(marked[0]).toMatch(/### Response:\n⟦1<\|end\|>⟧/);
    expect(notices.join()).toMatch(/no chat template.*Alpaca/);
  });
});

describe('the token that ends a turn', () => {
  test('behind another added token is reached', async () => {
    const tagged =
      "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|><answer>' + m.content + '</answer><|im_end|>' }}" +
      "{% else %}{{ '<|user|>' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|><answer>' }}{% endif %}";
    const model = textModel(tagged, { eos_token: '<|im_end|>' }, ['<answer>', '</answer>', '<|im_end|>']);
    const { marked, notices } = await read([TALK], model);
    expect(marked).toEqual([
      '<|user|>One?<|im_end|><|assistant|><answer>⟦1</answer><|im_end|>⟧<|user|>Two?<|im_end|><|assistant|><answer>⟦2</answer><|im_end|>⟧',
    ]);
    expect(notices).toEqual([]);
  });

  test('that no row trains is missed: a template without one, and generation blocks that end before it', async () => {
    const never =
      "{% for m in messages %}{{ m.role + ':\\n' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:\\n' }}{% endif %}";
    const before =
      "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}" +
      `{% else %}{{ m.content }}{% endif %}{{ '<|end|>' }}{% endfor %}${PROMPT}`;
    for (const template of [never, before]) {
      const { notices } = await read([TALK, TALK], textModel(template));
      expect(notices).toEqual([
        expect.stringMatching(
          /^None of 2 rows trains a token that ends the turn, so the model would not stop.*Set chat_template_path/,
        ),
      ]);
    }
  });

  test('that max_length cuts off in all rows is missed', async () => {
    const { notices } = await read(
      [{ messages: [user('a'), assistant('word '.repeat(100))] }],
      textModel(TURNS),
      '--max-length',
      '20',
    );
    expect(notices.join()).toMatch(
      /The only row trains no token that ends the turn.*max_length 20 cuts every answer before it\. Raise max_length\.$/,
    );
  });

  test('at the end of the conversation alone: the answers before are named, and end where the next turn begins', async () => {
    const last =
      "{% for m in messages %}{{ '\\n' + m.role + ':\\n' + m.content }}{% endfor %}{% if add_generation_prompt %}{{ '\\nassistant:\\n' }}{% else %}{{ eos_token }}{% endif %}";
    const { marked, notices } = await read([TALK], textModel(last));
    expect(marked).toEqual(['\nuser:\nOne?\nassistant:\n⟦1⟧\nuser:\nTwo?\nassistant:\n⟦2<|end|>⟧']);
    expect(notices).toEqual([expect.stringMatching(OPEN)]);
    expect(notices[0]).toContain(PER_ANSWER);
    expect((await read(rowPerAnswer(TALK), textModel(last))).notices).toEqual([]);
  });

  test('that a tool call spells itself does not end it', async () => {
    const calls =
      "{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content or '') }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}" +
      `{{ '<|end|>' }}{% endfor %}{{ tools | tojson if tools else '' }}${PROMPT}`;
    const call = { type: 'function', function: { name: 'say', arguments: { text: '<|end|>' } } };
    const row = { messages: [user('a'), assistant(null, { tool_calls: [call] }), user('b'), assistant('c')] };
    const { marked } = await read([row], textModel(calls));
    expect(marked).toEqual([
      '<|user|>a<|end|><|assistant|>⟦{"name": "say", "arguments": {"text": "<|end|>"}}<|end|>⟧<|user|>b<|end|><|assistant|>⟦c<|end|>⟧',
    ]);
  });
});

describe('answers that a template cuts, or trains in another context than it asks in', () => {
  const thought = (answer: string) => assistant(`<think>\nHm.\n</think>\n\n${answer}`);
  const THOUGHTS = { messages: [user('One?'), thought('1'), user('Two?'), thought('2')] };
  const cut = (when: string) =>
    `{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and ${when} %}{% set c = c.split('</think>')[-1] | trim %}{% endif %}` +
    `{{ '<|' + m.role + '|>' + c + '<|end|>' }}{% endfor %}`;

  test('thoughts that are never shown', async () => {
    const { notices } = await read([THOUGHTS], textModel(cut('true') + PROMPT));
    expect(notices).toEqual([expect.stringMatching(CUT)]);
    expect(notices[0]).toMatch(/Set chat_template_path to a template that shows answers whole\.$/);
    expect((await read([THOUGHTS], textModel(cut('true') + PROMPT), '--assistant-only-loss', 'false')).notices).toEqual(
      notices,
    );
  });

  test('thoughts that are shown in the last answer alone: a row an answer helps', async () => {
    const model = textModel(cut('not loop.last') + PROMPT);
    const { marked, notices } = await read([THOUGHTS], model);
    expect(marked).toEqual([
      '<|user|>One?<|end|><|assistant|>⟦1<|end|>⟧<|user|>Two?<|end|><|assistant|>⟦<think>\nHm.\n</think>\n\n2<|end|>⟧',
    ]);
    expect(notices).toEqual([expect.stringMatching(CUT)]);
    expect(notices[0]).toContain(PER_ANSWER);
    const apart = await read(rowPerAnswer(THOUGHTS), model);
    expect(apart.notices).toEqual([]);
    expect(apart.marked).toEqual([
      '<|user|>One?<|end|><|assistant|>⟦<think>\nHm.\n</think>\n\n1<|end|>⟧',
      '<|user|>One?<|end|><|assistant|>1<|end|><|user|>Two?<|end|><|assistant|>⟦<think>\nHm.\n</think>\n\n2<|end|>⟧',
    ]);
  });

  test('thoughts that a variable keeps: it is named, and helps', async () => {
    const model = textModel(cut('not keep_thinking') + PROMPT);
    const { notices } = await read([THOUGHTS], model);
    expect(notices[0]).toMatch(/Set chat_template_kwargs: \{keep_thinking: true\}\.$/);
    const kept = await read([THOUGHTS], model, '--chat-template-kwargs', '{"keep_thinking": true}');
    expect(kept.notices).toEqual([]);
    expect(kept.marked[0]).toContain('⟦<think>\nHm.\n</think>\n\n1<|end|>⟧');
  });

  test('a prompt that opens a thought which the answer lacks', async () => {
    const opening = cut('false') + "{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}";
    const { marked, notices } = await read([{ messages: [user('a'), assistant('<b>c</b>')] }], textModel(opening));
    expect(marked).toEqual(['<|user|>a<|end|><|assistant|>⟦<b>c</b><|end|>⟧']);
    expect(notices).toEqual([expect.stringMatching(ASKED)]);
    expect(notices[0]).toContain('asked after "<|end|><|assistant|><think>\\n", trained after "<|end|><|assistant|>".');
    expect(notices[0]).not.toContain('assistant_only_loss');
    // What the prompt gives of an answer isn't lost.
    const given = await read([THOUGHTS], textModel(opening));
    expect(given.notices).toEqual([]);
    expect(given.marked[0]).toContain('<|assistant|><think>\n⟦Hm.\n</think>\n\n1<|end|>⟧');
  });

  test('equal texts in all turns are told apart', async () => {
    const opening = cut('false') + "{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}";
    const same = { messages: [user('a'), assistant('a'), user('a'), assistant('a')] };
    const { marked } = await read([same], textModel(opening));
    expect(marked).toEqual(['<|user|>a<|end|><|assistant|>⟦a<|end|>⟧<|user|>a<|end|><|assistant|>⟦a<|end|>⟧']);
  });

  test('answers in capitals', async () => {
    const { notices } = await read(
      [TALK, { messages: [user('A'), assistant('b')] }],
      textModel(TURNS.replace("(m.content or '')", '(m.content | upper)')),
    );
    expect(notices.join('\n')).toMatch(/leaves out or changes a part of the answer in row 2\. /);
  });

  test('answers that are shown in the last place alone', async () => {
    const model = textModel(
      `{% for m in messages %}{% if loop.last or m.role != 'assistant' %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}${PROMPT}`,
    );
    const { marked, notices } = await read([TALK], model);
    expect(marked).toEqual(['<|user|>One?<|end|><|user|>Two?<|end|><|assistant|>⟦2<|end|>⟧']);
    expect(notices[0]).toMatch(CUT);
    expect(notices[0]).toContain(PER_ANSWER);
    expect((await read(rowPerAnswer(TALK), model)).notices).toEqual([]);
  });

  test('a system message that moves to the last question', async () => {
    const moving =
      "{% set s = messages[0].content if messages[0].role == 'system' else '' %}{% set ns = namespace(last=0) %}" +
      "{% for m in messages if m.role == 'user' %}{% set ns.last = loop.index %}{% endfor %}{% set n = namespace(i=0) %}" +
      "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}{% set n.i = n.i + 1 %}{{ '<|user|>' + (s + '\\n' if n.i == ns.last else '') + m.content }}" +
      `{% else %}{{ '<|assistant|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}${PROMPT}`;
    const row = { messages: [system('Be brief.'), ...TALK.messages] };
    const { marked, notices } = await read([row], textModel(moving));
    expect(marked).toEqual(['<|user|>One?<|assistant|>⟦1<|end|>⟧<|user|>Be brief.\nTwo?<|assistant|>⟦2<|end|>⟧']);
    expect(notices).toEqual([expect.stringMatching(ASKED)]);
    expect(notices[0]).toContain(PER_ANSWER);
    expect((await read(rowPerAnswer(row), textModel(moving))).notices).toEqual([]);
  });

  test('behind a message of which nothing is shown, and behind a text that the system says too', async () => {
    const behind = { messages: [user('a'), assistant('</think>'), assistant('b')] };
    const shown = await read([behind], textModel(cut('not loop.last') + PROMPT));
    expect(shown.marked).toEqual(['<|user|>a<|end|><|assistant|>⟦<|end|>⟧<|assistant|>⟦b<|end|>⟧']);
    const moving =
      "{% for m in messages if m.role != 'system' %}{{ '<|' + m.role + '|>' + (messages[0].content + '\\n' if loop.last and m.role == 'user' else '') + m.content + '<|end|>' }}{% endfor %}" +
      PROMPT;
    const same = await read([{ messages: [system('a'), user('a'), assistant('b')] }], textModel(moving));
    expect(same.marked).toEqual(['<|user|>a<|end|><|assistant|>⟦b<|end|>⟧']);
  });

  test('noncharacters in the text', async () => {
    const row = { messages: [user('a'), assistant('\ufdd0b'), user('<|end|>'), assistant('c\ufdd1')] };
    const { marked, notices } = await read([row], textModel(TURNS));
    expect(marked[0]).toMatch(
      /^<\|user\|>a<\|end\|><\|assistant\|>⟦.*b<\|end\|>⟧<\|user\|><\|end\|><\|end\|><\|assistant\|>⟦c.*<\|end\|>⟧$/,
    );
    expect(notices).toEqual([]);
  });

  test('an answer before its question is refused, not trained', async () => {
    const reversed = `{% for m in messages | reverse %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}${PROMPT}`;
    const { error } = await read([TALK], textModel(reversed));
    expect(error).toMatch(/row 1 can't be masked: .* message 2 .*chat_template_path/);
  });

  test('generation blocks around the header too are what the template says', async () => {
    const header = `{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ '<|assistant|>' + m.content + '<|end|>' }}{% endgeneration %}{% else %}{{ '<|user|>' + m.content }}{% endif %}{% endfor %}${PROMPT}`;
    const { marked, notices } = await read([TALK], textModel(header));
    expect(marked).toEqual(['<|user|>One?⟦<|assistant|>1<|end|>⟧<|user|>Two?⟦<|assistant|>2<|end|>⟧']);
    expect(notices).toEqual([]);
    // Weight 0 holds for a message that says nothing but in other fields.
    const calling = header.replace("m.content + '<|end|>'", "(m.content or m.tool_calls | tojson) + '<|end|>'");
    const call = assistant(null, {
      tool_calls: [{ type: 'function', function: { name: 'f', arguments: {} } }],
      weight: 0,
    });
    const weighted = await read([{ messages: [user('a'), call, user('b'), assistant('c')] }], textModel(calling));
    expect(weighted.marked[0]).toMatch(
      /^<\|user\|>a<\|assistant\|>\[.*<\|end\|><\|user\|>b⟦<\|assistant\|>c<\|end\|>⟧$/,
    );
  });
});

describe('what reading changes', () => {
  test('of a prompt whose last token goes on into the answer is noticed', async () => {
    const spaced =
      "{% for m in messages %}{{ m.role + ': ' + m.content + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    const { notices } = await read([{ messages: [user('a'), assistant('one')] }], textModel(spaced));
    expect(notices).toEqual([
      expect.stringMatching(/row 1 in another context.*asked after ".*assistant: ", trained after ".*assistant:"/),
    ]);
  });

  test('of the white space within an answer is noticed', async () => {
    const joined = `{% for m in messages %}{{ '<|' + m.role + '|>' + m.content.split() | join(' ') + '<|end|>' }}{% endfor %}${PROMPT}`;
    const { notices } = await read([{ messages: [user('a'), assistant('def f():\n    return 1')] }], textModel(joined));
    expect(notices).toEqual([expect.stringMatching(/leaves out or changes a part of the answer/)]);
  });

  test('of numbers that a template prints is noticed', async () => {
    const row =
      '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": [{"x": 20.0}]}';
    const shows = `{{ tools | tojson }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}${PROMPT}`;
    const path = rowsFile();
    writeFileSync(path, row);
    expect((await show(path, textModel(shows))).summary?.notices).toEqual([
      'Numbers such as 20.0 reach the chat template as 20: where that matters, write them as text.',
    ]);
    writeFileSync(path, row.replace('20.0', '2.5').replace('{"messages"', '{"score": 20.0, "messages"'));
    expect((await show(path, textModel(shows))).summary?.notices).toEqual([
      'score is left out: no format of a dataset uses it.',
    ]);
  });
});

describe('fields that a template may not show', () => {
  test('tools and tool calls: the row is refused', async () => {
    const call = { type: 'function', function: { name: 'f', arguments: {} } };
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const row = { messages: [user('a'), assistant('b', { tool_calls: [call] }), user('c'), assistant('d')], tools };
    expect((await read([row], textModel(TURNS))).error).toMatch(
      /row 1 has tools and tool_calls, which .* doesn't show.*chat_template_path/,
    );
  });

  test('a system message that another message repeats', async () => {
    const model = textModel(
      `{% for m in messages if m.role != 'system' %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}${PROMPT}`,
    );
    for (const text of ['Be brief.', 'a']) {
      const { notices } = await read([{ messages: [system(text), user('a'), assistant('b')] }], model);
      expect(notices).toEqual([expect.stringMatching(/doesn't show the system message of row 1/)]);
    }
  });

  test('a message that is shown as JSON is shown', async () => {
    const json = TURNS.replace("(m.content or '')", "(m.content | tojson if m.role == 'user' else m.content)");
    const { notices } = await read([{ messages: [user('say "hi"\n'), assistant('hi')] }], textModel(json));
    expect(notices).toEqual([]);
  });

  test('thoughts beside the content, in the answers that have them', async () => {
    const last = TURNS.replace(
      "(m.content or '')",
      "(m.reasoning_content if loop.last and m.reasoning_content else '') + m.content",
    );
    const row = (...where: number[]) => ({
      messages: TALK.messages.map((m, i) => (where.includes(i) ? { ...m, reasoning_content: 'Hm.' } : m)),
    });
    expect((await read([row(3)], textModel(last))).notices).toEqual([]);
    for (const rows of [[row(1)], [row(1, 3)]]) {
      expect((await read(rows, textModel(last))).notices).toEqual([
        expect.stringMatching(/doesn't show reasoning_content of row 1/),
      ]);
    }
  });
});

describe('fields of a row', () => {
  const ids = { input_ids: [10, 11, 12, 13] };

  test.each<[string, object, string]>([
    [
      'system and history',
      { instruction: 'c', output: 'd', system: 'Be brief.', history: [['a', 'b']] },
      '<|system|>Be brief.<|user|>a<|assistant|>⟦b<|end|>⟧<|user|>c<|assistant|>⟦d<|end|>⟧',
    ],
    [
      'system_prompt',
      { system_prompt: 'Be brief.', question: 'a', answer: 'b' },
      '<|system|>Be brief.<|user|>a<|assistant|>⟦b<|end|>⟧',
    ],
    [
      'context',
      { context: 'It was 1911.', question: 'When?', answer: '1911' },
      '<|user|>It was 1911.\n\nWhen?<|assistant|>⟦1911<|end|>⟧',
    ],
    ...['weight', 'loss_weight', 'train'].map((name): [string, object, string] => [
      `${name} of a message`,
      { messages: [user('a'), assistant('b', { [name]: name === 'train' ? false : 0 }), user('c'), assistant('d')] },
      '<|user|>a<|assistant|>b<|end|><|user|>c<|assistant|>⟦d<|end|>⟧',
    ]),
  ])('%s: used', async (_name, row, expected) => {
    const { marked, notices, error } = await read([row], 'starter');
    expect([error, marked, notices]).toEqual(['', [expected], []]);
  });

  test('attention_mask, completion_mask and labels say what is trained', async () => {
    const { rows } = await show(
      rowsFile(
        { ...ids, attention_mask: [1, 1, 1, 0] },
        { ...ids, completion_mask: [0, 0, 1, 1] },
        { ...ids, labels: [-100, 11, 12, -100] },
      ),
    );
    const trained = rows.map(({ input_ids, labels }) => input_ids.filter((_, i) => labels[i] !== -100));
    expect(trained).toEqual([
      [10, 11, 12],
      [12, 13],
      [11, 12],
    ]);
  });

  test.each<[string, object]>([
    ['label', { prompt: 'a', completion: 'b', label: true }],
    ['chosen', { messages: TALK.messages, chosen: 'a', rejected: 'b' }],
    ['images', { messages: TALK.messages, images: ['a.png'] }],
  ])('%s: the row is refused by its name', async (name, row) => {
    const { error } = await read([row], 'starter');
    expect(error.trim().split('\n')).toHaveLength(1);
    expect(error).toMatch(new RegExp(`row 1 has .*${name}`));
  });

  test('others are named once', async () => {
    const rows = [1, 2].map((id) => ({ ...TALK, id, source: 'web' }));
    const { notices } = await read(rows, 'starter');
    expect(notices).toEqual([expect.stringMatching(/id and source/)]);
  });
});
