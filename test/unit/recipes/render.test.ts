import { describe, expect, it } from 'vitest';
import { parseRunConfig } from '../../../src/core/config';
import { chatTemplate } from '../../../src/formats/template';
import { renderRows } from '../../../src/recipes';

const run = parseRunConfig('{}');

/** The rows' texts or errors under a template. */
async function render(template: string, rows: readonly unknown[], addGenerationPrompt = false) {
  const model = {
    spec: { vocabSize: 1, maxPositions: 1 },
    tokenizer: undefined,
    template: chatTemplate('test', template, { bos_token: '<s>' }),
  };
  const bytes = new TextEncoder().encode(
    rows.map((row) => `${typeof row === 'string' ? row : JSON.stringify(row)}\n`).join(''),
  );
  const rendered = await renderRows(run, model, { name: 'd.jsonl', bytes }, addGenerationPrompt);
  expect(rendered.map(({ row }) => row)).toEqual(rows.map((_, i) => i + 1));
  return rendered.map(({ text, error }) => text ?? error);
}

const TURNS =
  '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}';
const user = { role: 'user', content: ' u ' };

describe('rows are rendered', () => {
  it('without an answer, with an empty one, and where none is trained', async () => {
    const rows = [
      { messages: [user] },
      { messages: [user, { role: 'assistant', content: '' }] },
      { messages: [user, { role: 'assistant', content: 'a', train: false }] },
      { messages: [{ role: 'assistant', content: 'a' }, user] },
      { prompt: ' p ' },
      { prompt: [user] },
      { prompt: 'p', completion: '' },
      { instruction: 'i', input: 'x', output: null },
      { question: 'q', answer: 'a', system: 's' },
      { conversations: [{ from: 'human', value: 'h' }], chosen: { from: 'gpt', value: 'a' } },
      { prompt: 'p', chosen: 'c', rejected: 'r' },
      { messages: [user], label: true, weight: 0.5, context: 'c' },
    ];
    const texts = [
      '[user] u ',
      '[user] u [assistant]',
      '[user] u [assistant]a',
      '[assistant]a[user] u ',
      '[user] p ',
      '[user] u ',
      '[user]p',
      '[user]i\nx',
      '[system]s[user]q[assistant]a',
      '[user]h',
      '[user]p',
      '[user] u ',
    ];
    expect(await render(TURNS, rows)).toEqual(texts);
    expect(await render(TURNS, rows, true)).toEqual(texts.map((text) => `${text}[assistant]`));
  });

  it('with their messages as the file has them: keys in order, nulls, parts, roles', async () => {
    const messages = [
      { content: [{ type: 'text', text: 'u', x: null }, { type: 'image' }], role: 'human', name: null },
      { role: 'assistant', weight: 0.5, tool_calls: [{ function: { arguments: { b: null, a: 1 }, name: 'f' } }] },
      { role: 'critic', content: null, train: 'x' },
    ];
    const row = {
      messages,
      tools: [{ name: 'f', d: null }],
      documents: [{ t: null }],
      chat_template_kwargs: { k: null },
    };
    expect(
      await render('{{ messages | tojson }}{{ tools | tojson }}{{ documents | tojson }}{{ k is defined }}', [row]),
    ).toEqual([
      '[{"content": [{"type": "text", "text": "u", "x": null}, {"type": "image"}], "role": "human", "name": null}, ' +
        '{"role": "assistant", "weight": 0.5, "tool_calls": [{"function": {"arguments": {"b": null, "a": 1}, "name": "f"}}]}, ' +
        '{"role": "critic", "content": null, "train": "x"}][{"name": "f", "d": null}][{"t": null}]True',
    ]);
    const parts =
      '{% for m in messages %}{{ m.content[0].text if m.content is not string else m.content }}{% endfor %}';
    expect(
      await render(parts, [{ messages: [{ role: 'user', content: [{ type: 'text', text: 'u' }] }, user] }]),
    ).toEqual(['u u ']);
  });

  it('or have the reason', async () => {
    const rows = [
      { text: 't' },
      { input_ids: [1] },
      { id: 1 },
      '7',
      '{',
      { messages: [] },
      { messages: [{ content: 'x' }] },
    ];
    expect(await render(TURNS, rows)).toEqual([
      'has text and no conversation: no chat template is used for it',
      'has input_ids and no conversation: no chat template is used for it',
      expect.stringMatching(/^has only "id"; it needs question and answer/),
      'is 7, but a row must be an object with named fields',
      expect.stringMatching(/^is not valid JSON at line 5, column 2/),
      'has no message in messages',
      expect.stringMatching(/^has the role undefined in message 1/),
    ]);
  });

  it('unless a value is nested too deeply, which the reason says with its place', async () => {
    const deep = `${'[{"a":'.repeat(5000)}1${'}]'.repeat(5000)}`;
    const message = (field: string) => `{"messages": [{"role": "user", "content": "u", ${field}}]}`;
    const rows = [
      message(`"x": ${deep}`),
      message(`"tool_calls": ${deep}`),
      `{"messages": [{"role": "user", "content": ${deep}}]}`,
      `{"conversations": [{"from": "human", "value": "u", "x": ${deep}}]}`,
      `{"conversations": [{"from": "human", "value": ${deep}}]}`,
      `{"conversations": [{"from": "function_call", "value": {"name": "f", "arguments": ${deep}}}]}`,
      ...['tools', 'documents'].map((name) => `{"prompt": "p", "${name}": ${deep}}`),
      `{"prompt": "p", "tools": ${JSON.stringify(deep)}}`,
      `{"prompt": "p", "chat_template_kwargs": {"k": ${deep}}}`,
      `{"prompt": ${deep}}`,
      `{"prompt": "p", "completion": ${deep}}`,
      `{"prompt": "p", "history": ${deep}}`,
      `{"prompt": "p", "context": ${deep}}`,
      `{"prompt": "p", "system": ${deep}}`,
    ];
    const template = '{{ messages | tojson }}{{ tools }}{{ documents }}{{ k }}';
    for (const [i, text] of (await render(template, rows)).entries()) {
      expect(text, rows[i]!.slice(0, 60)).toMatch(/^(has|must have) .{5,300}$/);
      expect(text).not.toMatch(/stack/);
    }
    const ignored = [`{"prompt": "p", "x": ${deep}}`, `{"prompt": "p", "label": ${deep}}`];
    expect(await render(TURNS, ignored)).toEqual(['[user]p', '[user]p']);
  });
});
