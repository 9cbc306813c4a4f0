/** Templates that would go on for ever or build more than a machine holds, and real ones on the longest conversations. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/core/text';
import { chatTemplate } from '../../../src/formats/template';
import { expectError } from './support';

const HI = { messages: [{ role: 'user', content: 'hi' }] };
const TOKENS = { bos_token: '<s>', eos_token: '</s>' };

/** A list or text that is made of itself twice, again and again. */
const doubled = (first: string, next: string) =>
  `{% set ns = namespace(s=${first}) %}{% for i in range(60) %}{% set ns.s = ${next} %}{% endfor %}`;
const loops = (inner: string) =>
  `{% for i in range(99999) %}{% for j in range(99999) %}${inner}{% endfor %}{% endfor %}`;

describe('a template that is no template for conversations', () => {
  it.each([
    ['loops that print', loops('x')],
    ['empty loops', loops('')],
    ['loops that compute', loops('{% set a = (i + j) * 3 - i // 7 %}')],
    ['a text that doubles', `${doubled('"xy"', 'ns.s + ns.s')}{{ ns.s }}`],
    ['a repetition of 5 GB', '{{ "x" * 5000000000 }}'],
    ['many large texts', '{% for i in range(60) %}{% set a = ("ab" * 10000000) | replace("a", "c") %}{% endfor %}'],
    ['a list within itself, printed', `${doubled('[1]', '[ns.s, ns.s]')}{{ ns.s }}`],
    ['a list within itself, as JSON', `${doubled('[1]', '[ns.s, ns.s]')}{{ ns.s | tojson }}`],
    ['a tuple within itself, as a key', `${doubled('(1,)', '(ns.s, ns.s)')}{{ {ns.s: 1} }}`],
    [
      'lists within themselves, compared',
      `${doubled('[1]', '[ns.s, ns.s]')}{% set a = ns.s %}${doubled('[1]', '[ns.s, ns.s]')}{{ a == ns.s }}`,
    ],
    [
      'a text looked at again and again',
      '{% set s = "a" * 30000000 %}{% for i in range(99999) %}{% if "b" in s %}{% endif %}{% endfor %}',
    ],
    [
      'characters counted again and again',
      '{% set s = "😀" * 300000 %}{% for i in range(99999) %}{% set x = s[i] %}{% endfor %}',
    ],
    ['a wide line', '{{ "a" | center(90000000) }}'],
    ['a long separator', '{{ range(99999) | join("y" * 100000) }}'],
    ['a long replacement', '{{ ("x" * 100000) | replace("x", "y" * 100000) }}'],
    ['a wide indentation', '{{ [[1], [2]] | tojson(indent=100000000) }}'],
    ['a thousand million slices', '{% for x in [1] | slice(1000000000) %}{% endfor %}'],
    ['a batch of a thousand million', '{{ [1] | batch(1000000000, 0) | list }}'],
    ['a long line wrapped letter by letter', '{{ ("a" * 1000000) | wordwrap(1) }}'],
  ])('ends: %s', async (_, text) => {
    const template = chatTemplate('chat_template.jinja', text, TOKENS);
    const render = () => template.render(HI, { addGenerationPrompt: true });
    const stopped =
      /^The chat template in chat_template\.jinja was stopped while it rendered the conversation: it (takes|makes|goes through) .+\. Use another template\.$/;
    await expectError(render, 'bad-config', stopped);
  });

  it.each([
    ['a sum of 100,000', `{{ ${Array(100_000).fill('1').join('+')} }}`],
    ['a chain of 200,000 names', `{{ a${'.a'.repeat(200_000)} }}`],
    ['100,000 filters', `{{ a${'|upper'.repeat(100_000)} }}`],
    ['a target of 100,000 brackets', `{% set ${'('.repeat(100_000)} = 1 %}`],
  ])('is not compiled: %s', async (_, text) => {
    await expectError(
      () => chatTemplate('t', text, TOKENS),
      'bad-config',
      /can't be compiled: (it is nested too deep|unexpected)/,
    );
  });

  it.each([
    ['{{ 3 ** 40000 * 3 ** 40000 }}', /the product is too large/],
    ['{{ "{:.999999999f}".format(1.5) }}', /precision too big/],
  ])('is refused for a number of too many digits: %s', async (text, message) => {
    const template = chatTemplate('t', text, TOKENS);
    await expectError(() => template.render(HI, { addGenerationPrompt: true }), 'bad-config', message);
  });

  it('prints what Python does of odd numbers', () => {
    const print = (text: string) => chatTemplate('t', text, TOKENS).render(HI, { addGenerationPrompt: false });
    expect(print('{{ 15 | round(-1000000000) }} {{ 15 | round(-1) }} {{ 1.5 | round(1000000000) }}')).toBe('0 20 1.5');
    expect(print('{{ ("9" * 5000) | int(7) }}')).toBe('7');
    expect(print('{{ "<a><b" | striptags }}')).toBe('<b');
  });
});

describe('published templates', () => {
  const folder = 'test/golden/jinja_templates';
  const turns = Array.from({ length: 1000 }, (_, i): Message[] => [
    { role: 'user', content: `Question ${i}: ${'what is the tide? '.repeat(75)}` },
    { role: 'assistant', content: `Answer ${i}: ${'it is low. '.repeat(150)}` },
  ]).flat();

  it.each(readdirSync(folder))('render 2,000 messages of 3 million characters: %s', (name) => {
    const template = chatTemplate(name, readFileSync(`${folder}/${name}`, 'utf8'), TOKENS);
    const text = template.render({ messages: turns }, { addGenerationPrompt: true });
    expect(text).not.toBe('');
  });
});
