/** Modelfiles: what Ollama makes of them is what the model's own chat template makes. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/core/text';
import { compareModelfile, describeModelfile, leadingBos, parseModelfile } from '../../../src/formats/ollama';
import { describeTemplate } from '../../../src/formats/ollama/describe-template';
import { renderGoTemplate } from '../../../src/formats/ollama/go-template';
import { parameter, writeModelfile } from '../../../src/formats/ollama/modelfile';
import { alpacaTemplate, chatTemplate } from '../../../src/formats/template';
import { openTokenizer } from '../../../src/formats/tokenizer';
import { hasReference, reference } from '../../support/reference';
import { expectError, files } from './support';

const SPECIAL = { bos_token: '<s>', eos_token: '</s>' };
const user = (content: string): Message => ({ role: 'user', content });
const system = (content: string): Message => ({ role: 'system', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });

/** Three questions, with what templates of both languages could trip over. */
const CONVERSATION = [
  user('One?'),
  assistant('1, {{ .System }}'),
  user('Two,\n\nplease?'),
  assistant('2'),
  user('"""3"""'),
];

const named = (name: string, text: string) => {
  const template = chatTemplate(name, text, SPECIAL);
  return [name, template.onDay?.('2024-07-26') ?? template] as const;
};
const local = ['turns', 'last-query', 'reasoning', 'alternating'].map((name) =>
  named(name, readFileSync(`test/golden/jinja_templates/${name}.jinja`, 'utf8')),
);
const families = hasReference
  ? readdirSync(reference('chat-templates')).map((file) =>
      named(file, readFileSync(reference('chat-templates', file), 'utf8')),
    )
  : [];
const starter = JSON.parse(readFileSync('public/models/starter/tokenizer_config.json', 'utf8')) as {
  chat_template: string;
};
const alpaca = ['alpaca', alpacaTemplate({ specialTokens: SPECIAL, addsBos: true })] as const;
/** What a Modelfile or a Go template has to have escaped, around each message. */
const odd = named(
  'odd characters',
  '{% for m in messages %}{{ m.role }}]\u200b"""{"a": {{ "{{" }}\u00a0\r\n{{ m.content }}{\\n"{% endfor %}{"' +
    '{% if add_generation_prompt %}assistant]\u200b"""{"a": {{ "{{" }}\u00a0\r\n{% endif %}""',
);

describe.each([...families, ...local, named('starter', starter.chat_template), alpaca, odd])(
  'the chat template %s',
  (_name, template) => {
    it.each([true, false])('writes three turns as Ollama does with its TEMPLATE (BOS by Ollama: %s)', (byOllama) => {
      const starts = template.render({ messages: [user('Hi')] }, { addGenerationPrompt: true }).startsWith('<s>');
      const bos = byOllama && starts ? '<s>' : undefined;
      const described = describeTemplate(template, bos);
      const written = writeModelfile({ instructions: [parameter('from', 'm'), parameter('template', described.text)] });
      const text = parseModelfile(written, 'Modelfile')[1]!.value;
      const takesSystem = !described.notices.some((notice) => notice.includes('no place for a system message'));
      for (const messages of [CONVERSATION, ...(takesSystem ? [[system('Be brief.'), ...CONVERSATION]] : [])]) {
        const own = template.render({ messages }, { addGenerationPrompt: true });
        expect((bos ?? '') + renderGoTemplate(text, messages)).toBe(own);
      }
      expect(bos === undefined ? [] : (text.match(/^<s>/) ?? [])).toEqual([]);
    });
  },
);

describe('what a TEMPLATE leaves otherwise is said', () => {
  const turns = (content: string, condition = 'true') =>
    `{% for m in messages if ${condition} %}[{{ m.role }}]{{ ${content} }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}`;

  it.each([
    ['nothing', turns('m.content'), /^$/],
    ['trimmed messages', turns('m.content | trim'), /^The chat template takes white space off the ends of messages/],
    ['reasoning', turns("m.content.split('</think>')[-1].lstrip('\\n')"), /^The chat template leaves the reasoning/],
    ['a switch', turns("m.content.replace('/no_think', '')"), /^The chat template takes \/think and \/no_think/],
    ['no system', turns('m.content', 'm.role != "system"'), /no place for a system message/],
    ['tools', `${turns('m.content')}{{ tools or '' }}`, /^The TEMPLATE has no tools/],
    ['the date', `{{ strftime_now('%d') }}${turns('m.content')}`, /prints the date; in Ollama it stays/],
  ])('%s', (_what, text, notice) => {
    expect(describeTemplate(chatTemplate('it', text, SPECIAL), undefined).notices.join('\n')).toMatch(notice);
  });
});

describe('a template that depends on more than who speaks is refused, with what differs', () => {
  it.each([
    [
      '{% for m in messages %}{{ loop.index }}. {{ m.content }}\n{% endfor %}',
      /can't be said as a TEMPLATE of Ollama: what it writes .* depends on the turn, ".*" or ".*"\./,
    ],
    [
      '{% for m in messages %}{{ m.content | upper | replace("A", "O") }}{% endfor %}',
      /leaves out or changes a message of the user/,
    ],
    ['{{ messages[-1].content }}{% for m in messages %}{{ m.content }}{% endfor %}', /repeats a message of the user/],
    [
      '{% for m in messages %}{{ m.content }}{{ " by rule" if m.role == "user" and messages[0].role == "system" }}{% endfor %}',
      /after a question depends on whether there is a system message/,
    ],
    [
      '{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ "!" if "letter" in m.content }}{% endfor %}[assistant]',
      /to a conversation of 2 questions it would write ".*" in place of ".*!\[assistant\]"\.$/,
    ],
  ])('%s', async (text, message) => {
    const template = chatTemplate('it', text, SPECIAL);
    await expectError(() => describeTemplate(template, undefined), 'unsupported', message);
  });

  it('and one that wants other conversations says why itself', async () => {
    const template = chatTemplate('it', "{{ raise_exception('documents first') }}", SPECIAL);
    await expectError(() => describeTemplate(template, undefined), 'bad-config', /documents first/);
  });
});

describe('a Modelfile', () => {
  it('reads back as what was written', () => {
    const instructions = [
      parameter('from', './a b.gguf'),
      parameter('template', '{{ range .Messages }}\n"{{ .Content }}""{{ end }}\n'),
      parameter('system', 'Say "no".\n\tOr yes. '),
      ...['<|im_end|>', '"', '""x', '\n\n', ' ', '# no comment'].map((stop) => parameter('stop', stop)),
      parameter('repeat_last_n', -1),
    ];
    const text = writeModelfile({ comments: ['a "comment"'], instructions });
    expect(parseModelfile(text, 'Modelfile')).toEqual(instructions);
    expect(parseModelfile('from m.gguf\nParameter temperature 0.5\n\n# no\n', 'it')).toEqual([
      { name: 'from', value: 'm.gguf' },
      { name: 'temperature', value: '0.5' },
    ]);
  });

  it.each([
    ['a\u200bb', /system of the Modelfile can't hold the character U\+200B, which Ollama leaves out/],
    ['a """ b', /system of the Modelfile can't hold three quotes/],
  ])('refuses what its syntax has no way to hold (%j)', async (value, message) => {
    await expectError(() => writeModelfile({ instructions: [parameter('system', value)] }), 'unsupported', message);
  });

  it.each([
    ['FROM m.gguf\nRUN x\n', /^Modelfile, line 2: "RUN x" is no instruction of a Modelfile\.$/],
    ['FROM m.gguf\nTEMPLATE """{{ .Prompt }}\n', /^Modelfile, line 2: the quotes of template don't end\.$/],
  ])('is refused with its line (%j)', async (text, message) => {
    await expectError(() => parseModelfile(text, 'Modelfile'), 'bad-file', message);
  });
});

describe.skipIf(!hasReference)('the Modelfile of a model', async () => {
  const tokenizerFile = () => readFileSync(reference('tokenizers/phi-3-mini/tokenizer.json'));
  const config = { ...SPECIAL, add_bos_token: true };
  const tokenizer = hasReference
    ? (await openTokenizer(files({ 'tokenizer.json': tokenizerFile(), 'tokenizer_config.json': config }), [2, 32007]))!
    : (undefined as never);
  const text = '{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}<|assistant|>\n';
  const [plain, withBos] = [text, `{{ bos_token }}${text}`].map((jinja) => chatTemplate('it', jinja, SPECIAL));
  const request = {
    ...{ model: 'm.gguf', tokenizer, day: '2026-01-02' as const, maxPositions: 131_072 },
    generationConfig: { doSample: true, temperature: 0.7, topK: 50, repetitionPenalty: 1.1 },
  };

  it('says what it is asked and how it answers', () => {
    const { text: written } = describeModelfile({ ...request, template: withBos!, system: 'Be brief.' });
    expect(parseModelfile(written, 'it').filter(({ name }) => name !== 'template')).toEqual([
      { name: 'from', value: './m.gguf' },
      { name: 'system', value: 'Be brief.' },
      { name: 'stop', value: '</s>' },
      { name: 'stop', value: '<|end|>' },
      { name: 'num_ctx', value: '8192' },
      { name: 'temperature', value: '0.7' },
      { name: 'top_p', value: '1' },
      { name: 'top_k', value: '50' },
      { name: 'min_p', value: '0' },
      { name: 'repeat_last_n', value: '-1' },
      { name: 'repeat_penalty', value: '1.1' },
    ]);
  });

  it('has one BOS in every prompt: from the file where conversations begin with it, else from neither', () => {
    for (const template of [plain!, withBos!]) {
      const addsBos = leadingBos(tokenizer, template) !== undefined;
      expect(addsBos).toBe(template === withBos);
      const { text: written } = describeModelfile({ ...request, template });
      expect(compareModelfile(written, { tokenizer, template }, addsBos)).toEqual([]);
      expect(compareModelfile(written, { tokenizer, template }, !addsBos)[0]).toMatch(
        /^By the Modelfile, Ollama asks with /,
      );
    }
  });

  it.each([
    [
      'a second BOS',
      (it: string) => it.replace('"""', '"""<s>'),
      /Ollama asks with "<s><s><\|user\|>.*in place of "<s><\|user/,
    ],
    ['a missing end of turn', (it: string) => it.replaceAll('<|end|>\n', '\n'), /^By the Modelfile, Ollama asks with /],
    [
      'a missing stop',
      (it: string) => it.replace('PARAMETER stop "<|end|>"\n', ''),
      /^The Modelfile doesn't end an answer at <\|end\|>\.$/,
    ],
    ['no TEMPLATE', (it: string) => it.replace('TEMPLATE', 'LICENSE'), /^The Modelfile has no TEMPLATE\.$/],
  ])('and %s is found', (_what, change, finding) => {
    const { text: written } = describeModelfile({ ...request, template: withBos! });
    expect(compareModelfile(change(written), { tokenizer, template: withBos! }, true)).toContainEqual(
      expect.stringMatching(finding),
    );
  });

  it('keeps the day that it was written on, and is held against the template of that day', () => {
    const dated = chatTemplate('it', `{{ strftime_now('%Y-%m-%d') }}${text}`, SPECIAL);
    const { text: written } = describeModelfile({ ...request, template: dated });
    expect(written).toContain('TEMPLATE """2026-01-02');
    expect(compareModelfile(written, { tokenizer, template: dated }, false)).toEqual([]);
  });
});
