/** Templates that would go on for ever or build more than a machine holds, and real ones on the longest conversations. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/core/text';
import { lastFuelUse } from '../../../src/formats/jinja/fuel';
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
    ['letters of a URL', '{{ ("é" * 16700000) | urlencode | length }}'],
    ['texts of URLs', '{% set x = "é" * 8000000 %}{{ [x | urlencode, x | urlencode, x | urlencode] | length }}'],
    ['a title of many words', '{{ ("a " * 16700000) | title }}'],
    ['many percent signs', '{{ ("%%" * 8300000) % () }}'],
    ['a text from its end', '{{ ("ab" * 16700000)[::-1] }}'],
    ['a text reversed three times', '{{ ("a" * 16000000) | reverse | reverse | reverse }}'],
    ['a text wrapped word by word', '{{ ("a b " * 4000000) | wordwrap(1) }}'],
    ['cases swapped', '{{ ("aB" * 8000000).swapcase().swapcase() }}'],
    ['years', '{{ strftime_now("%Y" * 8000000) }}'],
    ['letters of three characters in capitals', '{{ ("ΐ" * 16000000) | upper }}'],
    ['a text quoted', '{{ ("\\1" * 16000000) | tojson }}'],
    ['a part that is searched letter by letter', loops('{% set x = ("b" + "a" * 4000) in ("a" * 10000) %}')],
    [
      'conditions that are nothing but true',
      loops(`{% if ${Array(500).fill('i is defined').join(' and ')} %}{% endif %}`),
    ],
    ['digits of large ints', loops('{% set x = (3 ** 40000) | string %}')],
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
    expect(print('{{ "inf" | filesizeformat }} {{ "nan" | filesizeformat }} {{ "{:%}".format(1.0e308) }}')).toBe(
      'inf YB nan YB inf%',
    );
    expect(print('{{ "{:_}".format(1234567) }} {{ "{:,}".format(123) }} {{ "{:_x}".format(1048575) }}')).toBe(
      '1_234_567 123 f_ffff',
    );
    expect(print('{{ "{:#_x}".format(1048575) }} {{ "{:,.2f}".format(12345.5) }} {{ "é€😀 /?" | urlencode }}')).toBe(
      '0xf_ffff 12,345.50 %C3%A9%E2%82%AC%F0%9F%98%80%20/%3F',
    );
    expect(
      print('{{ "aXbXc".replace("X", "--", 1) }} {{ "abc".replace("", "-", 2) }} {{ "ab".replace("", "-") }}'),
    ).toBe('a--bXc -a-bc -a-b-');
    expect(print('{{ "a😀bcd"[::-1] }} {{ "a😀bcd"[3:0:-2] }} {{ "a😀bcd"[-4:4] }} {{ "a😀b"[-2] }}')).toBe(
      'dcb😀a c😀 😀bc 😀',
    );
    expect(print('{{ "\uffff" < "😀" }} {{ "😀" < "😁" }} {{ ("ab" * 40 ~ "c") in ("ab" * 50 ~ "c") }}')).toBe(
      'True True True',
    );
    expect(print('{{ ("ab" * 50).rfind("ab" * 40) }} {{ ("a" * 99 ~ "b").count("a" * 33) }}')).toBe('20 3');
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
    // One of them looks at every message from each: 2,000 of them take a million steps.
    const { steps, read, made } = lastFuelUse();
    expect(steps).toBeLessThan(name === 'typescript-types.jinja' ? 0.7 : 0.02);
    expect(Math.max(read, made)).toBeLessThan(0.15);
  });
});
