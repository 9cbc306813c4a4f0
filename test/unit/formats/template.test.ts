import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/core/text';
import { strftime } from '../../../src/formats/jinja';
import { alpacaTemplate, chatTemplate, openTemplate } from '../../../src/formats/template';
import type { HubTokenizer } from '../../../src/formats/tokenizer';
import { hasReference, reference } from '../../support/reference';
import { expectError, files } from './support';

interface Case {
  messages: Message[];
  add_generation_prompt: boolean;
  text?: string;
  error?: string;
}

const goldens = hasReference
  ? (JSON.parse(readFileSync(reference('golden', 'chat_templates.json'), 'utf8')) as Record<
      string,
      Record<string, Case>
    >)
  : {};
const cases = Object.entries(goldens).flatMap(([file, named]) =>
  Object.entries(named).map(([name, item]) => [file, name, item] as const),
);

const tokens = { bos_token: '<s>', eos_token: '</s>' };
const tokenizer = { specialTokens: tokens, addsBos: true } as HubTokenizer;
const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });

describe.skipIf(!hasReference)('templates of the reference', () => {
  it.each(cases)(
    '%s renders %s as Transformers does',
    async (file, _name, { messages, add_generation_prompt, text, error }) => {
      // The golden of Llama 3.2 has the date that its template falls back to.
      const source = readFileSync(reference('chat-templates', file), 'utf8');
      const plain = chatTemplate(file, source, tokens);
      const template = plain.onDay?.('2024-07-26') ?? plain;
      const render = () => template.render({ messages }, { addGenerationPrompt: add_generation_prompt });
      if (error === undefined) expect(render()).toBe(text);
      else await expectError(render, 'bad-config', new RegExp(error));
    },
  );
});

describe('openTemplate', () => {
  const config = (chat_template: unknown) => ({ 'tokenizer_config.json': { chat_template } });

  it('prefers chat_template.jinja, then tokenizer_config.json, then Alpaca', async () => {
    const both = await openTemplate(files({ ...config('config'), 'chat_template.jinja': 'jinja' }), tokenizer);
    expect([both.source, both.render({ messages: [] }, { addGenerationPrompt: false })]).toEqual([
      'chat_template.jinja',
      'jinja',
    ]);
    expect((await openTemplate(files(config('x')), tokenizer)).source).toBe('tokenizer_config.json');
    expect((await openTemplate(files({}), tokenizer)).source).toBe('alpaca');
  });

  it('takes the default of several named templates', async () => {
    const named = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ];
    const template = await openTemplate(files(config(named)), tokenizer);
    expect(template.render({ messages: [] }, { addGenerationPrompt: false })).toBe('plain');
    await expectError(() => openTemplate(files(config(named.slice(0, 1))), tokenizer), 'bad-config', /chat_template/);
  });

  it('takes tool_use for a conversation with tools', async () => {
    const tools = [{ type: 'function' }];
    const named = [
      { name: 'tool_use', template: 'tools{{ strftime_now("%Y") }}' },
      { name: 'default', template: 'plain' },
    ];
    const beside = { 'chat_template.jinja': 'plain', 'additional_chat_templates/tool_use.jinja': 'tools' };
    for (const [folder, text] of [
      [config(named), 'tools2024'],
      [beside, 'tools'],
    ] as const) {
      const found = await openTemplate(files(folder), tokenizer);
      const template = found.onDay?.('2024-07-26') ?? found;
      expect(template.render({ messages: [] }, { addGenerationPrompt: false })).toBe('plain');
      expect(template.render({ messages: [], tools }, { addGenerationPrompt: false })).toBe(text);
      expect(template.generationSpans).toBeUndefined();
    }
  });

  it('asks both templates for what is generated, or neither', async () => {
    const marked = '{% generation %}x{% endgeneration %}';
    const template = await openTemplate(
      files({ 'chat_template.jinja': marked, 'additional_chat_templates/tool_use.jinja': `tools ${marked}` }),
      tokenizer,
    );
    expect(template.generationSpans?.({ messages: [] })).toEqual([{ start: 0, end: 1 }]);
    expect(template.generationSpans?.({ messages: [], tools: [] })).toEqual([{ start: 6, end: 7 }]);
  });

  it('reads chat_template.json, where processors kept theirs', async () => {
    const legacy = { 'chat_template.json': { chat_template: 'legacy' } };
    expect((await openTemplate(files(legacy), tokenizer)).source).toBe('chat_template.json');
    expect((await openTemplate(files({ ...legacy, ...config('own') }), tokenizer)).source).toBe(
      'tokenizer_config.json',
    );
  });

  it('lets variables replace special tokens, and nothing else', async () => {
    const template = chatTemplate('t', '{{ bos_token }}{{ enable_thinking }}', tokens);
    const render = (variables: Record<string, unknown>) =>
      template.render({ messages: [], variables }, { addGenerationPrompt: false });
    expect(render({ bos_token: '<b>', enable_thinking: false })).toBe('<b>False');
    await expectError(() => render({ messages: [] }), 'bad-config', /^chat_template_kwargs can't set messages/);
  });

  it('renders a developer as the system where the template knows no developers', () => {
    const messages = [{ role: 'developer', content: 'Be brief.' }];
    const render = (text: string) => chatTemplate('t', text, {}).render({ messages }, { addGenerationPrompt: false });
    expect(render('{{ messages[0].role }}')).toBe('system');
    expect(render('{# developer #}{{ messages[0].role }}')).toBe('developer');
  });

  it('reports a template that does not compile, or that raises', async () => {
    await expectError(() => openTemplate(files(config('{% if %}')), tokenizer), 'bad-config', /can't be compiled/);
    const raising = await openTemplate(files(config("{{ raise_exception('roles must alternate') }}")), tokenizer);
    await expectError(
      () => raising.render({ messages: [] }, { addGenerationPrompt: false }),
      'bad-config',
      /tokenizer_config\.json refused the conversation: roles must alternate/,
    );
  });

  it('gives templates what Transformers gives them', () => {
    const render = (text: string) =>
      chatTemplate('t', text, tokens).render({ messages: [user('é')] }, { addGenerationPrompt: true });
    expect(render('{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ add_generation_prompt }}')).toMatch(
      /^<s><\/s>true$/i,
    );
    expect(render('{% if tools is none %}none{% endif %}')).toBe('none');
    expect(render('{{ messages[0] | tojson }}')).toBe('{"role": "user", "content": "é"}');
    expect(render("{{ 'xxaxx'.strip('x') + ' b '.strip() + 'yyc'.lstrip('y') + 'd\n\n'.rstrip('\n') }}")).toBe('abcd');
    expect(render('  {% if true %}\nline\n  {% endif %}\n')).toBe('line\n');
  });

  it('keeps a message from reaching a prototype', () => {
    const template = chatTemplate(
      't',
      "{{ messages[0].constructor is defined }}{{ messages[0]['__proto__'] is defined }}",
      {},
    );
    expect(template.render({ messages: [user('x')] }, { addGenerationPrompt: false })).toMatch(/^falsefalse$/i);
  });
});

describe('the Alpaca fallback', () => {
  const template = alpacaTemplate(tokenizer);
  const opening =
    'Below is an instruction that describes a task. Write a response that appropriately completes the request.';

  it('ends an answer with eos, and starts with BOS where the tokenizer does', () => {
    const conversation = [user('One?'), assistant('1')];
    expect(template.render({ messages: conversation }, { addGenerationPrompt: false })).toBe(
      `<s>${opening}\n\n### Instruction:\nOne?\n\n### Response:\n1</s>`,
    );
    const without = alpacaTemplate({ specialTokens: tokens, addsBos: false });
    expect(without.render({ messages: [user('One?')] }, { addGenerationPrompt: true })).toBe(
      `${opening}\n\n### Instruction:\nOne?\n\n### Response:\n`,
    );
  });

  it('starts a longer conversation as it renders a shorter one, with a system message first', () => {
    const conversation: Message[] = [
      { role: 'system', content: 'Be brief.' },
      user('a'),
      assistant('b'),
      user('c'),
      assistant('d'),
    ];
    const whole = template.render({ messages: conversation }, { addGenerationPrompt: false });
    expect(whole.startsWith('<s>Be brief.\n\n### Instruction:\na')).toBe(true);
    for (const count of [2, 4]) {
      expect(
        whole.startsWith(template.render({ messages: conversation.slice(0, count) }, { addGenerationPrompt: true })),
      ).toBe(true);
    }
  });
});

it('strftime prints English names wherever it runs', () => {
  const date = new Date(2026, 2, 5, 15, 4, 9);
  expect(strftime(date, '%d %B %Y, %A %b %e, %H:%M:%S %I%p %y%m %% %Q')).toBe(
    '05 March 2026, Thursday Mar  5, 15:04:09 03PM 2603 % %Q',
  );
});
