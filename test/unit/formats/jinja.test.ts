import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { JinjaError, JinjaTemplate } from '../../../src/formats/jinja';
import { field, hasField } from '../../support/field';

const NOW = new Date(2026, 2, 5, 15, 4, 9);
const TOKENS = { bos_token: '<s>', eos_token: '</s>' };
const GOLDEN = resolve(import.meta.dirname, '../../golden');

interface Case {
  template: string;
  text?: string;
  error?: string;
}

interface FieldCase extends Case {
  messages: unknown[];
  tools?: unknown[] | null;
  extra?: Record<string, unknown>;
  add_generation_prompt?: boolean;
}

/** What jinja2 printed; see test/golden/jinja_cases.py. */
const golden = JSON.parse(readFileSync(resolve(GOLDEN, 'jinja_cases.json'), 'utf8')) as {
  defaults: Record<string, unknown>;
  conversations: Record<string, Record<string, unknown>>;
  templates: (Case & { conversation: string })[];
  snippets: Case[];
};

const render = (template: string, scope: Record<string, unknown> = {}) =>
  new JinjaTemplate(template).render(scope, NOW);

function check(template: string, scope: Record<string, unknown>, { text, error }: Case): void {
  if (error === undefined) expect(render(template, scope)).toBe(text);
  else expect(() => render(template, scope)).toThrow(JinjaError);
}

describe('what jinja2 prints, in the manner of published templates', () => {
  it.each(golden.templates.map((item) => [item.template, item.conversation, item] as const))(
    '%s: %s',
    (name, conversation, item) => {
      const template = readFileSync(resolve(GOLDEN, 'jinja_templates', name), 'utf8');
      check(template, { ...golden.defaults, ...golden.conversations[conversation] }, item);
    },
  );
});

describe('what jinja2 prints of single constructs', () => {
  it.each(golden.snippets.map((item) => [item.template, item] as const))('%s', (template, item) => {
    check(template, { ...golden.defaults, ...golden.conversations['tools'] }, item);
  });
});

describe.skipIf(!hasField)('cases from the field', () => {
  it.each(['templates.json', 'jinja.json'])('%s', (file) => {
    for (const item of JSON.parse(readFileSync(field(file), 'utf8')) as FieldCase[]) {
      const { messages, tools = null, extra = {}, add_generation_prompt = false } = item;
      check(item.template, { ...TOKENS, ...extra, messages, tools, documents: null, add_generation_prompt }, item);
    }
  });
});

describe('messages of errors', () => {
  it.each([
    ['{{ x.y }}', "'x' is undefined (line 1 of the template)"],
    ["\n{{ m['a'].b }}", "'dict object' has no attribute 'a' (line 2 of the template)"],
    ["\n\n{% if 'a' + none %}{% endif %}", 'can only concatenate str (not "NoneType") to str (line 3 of the template)'],
    ['a\n{{ 1 | nope }}', "No filter named 'nope'. (line 2 of the template)"],
    [
      '\n{% for x in y %}\n',
      "Unexpected end of template. Jinja was looking for the following tags: 'endfor' or 'else'. The innermost block that needs to be closed is 'for'. (line 2 of the template)",
    ],
    ["{{ raise_exception('Roles must alternate.') }}", 'Roles must alternate.'],
    ['{{ m.update({}) }}', "access to attribute 'update' of 'dict' object is unsafe. (line 1 of the template)"],
  ])('%j: %s', (template, message) => {
    const fail = () => render(template, { m: {} });
    let described = '';
    try {
      fail();
    } catch (error) {
      described = error instanceof JinjaError ? error.describe() : String(error);
    }
    expect(described).toBe(message);
  });
});

describe('what never reaches JavaScript', () => {
  it('looks up own fields only', () => {
    const scope = { m: JSON.parse('{"a": 1, "__proto__": "own"}') as unknown };
    expect(render("{{ m.constructor is defined }}{{ m['toString'] is defined }}{{ m.get('valueOf') }}", scope)).toBe(
      'FalseFalseNone',
    );
    expect(render("{{ m['__proto__'] }}{{ 'hasOwnProperty' in m }}{{ constructor }}", scope)).toBe('ownFalse');
    expect(render("{{ 'x'.constructor is defined }}{{ [1].length is defined }}{{ [1].map is defined }}")).toBe(
      'FalseFalseFalse',
    );
    expect(() => render('{{ x | constructor }}')).toThrow(/No filter named 'constructor'/);
  });

  it('ends what would never end', () => {
    const deep = '('.repeat(5000) + '1' + ')'.repeat(5000);
    expect(() => render(`{{ ${deep} }}`)).toThrow(/nested too deep/);
    expect(() => render('{% if 1 %}'.repeat(3000) + '{% endif %}'.repeat(3000))).toThrow(JinjaError);
    expect(() => render('{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}')).toThrow(/calls itself too deep/);
    expect(() => render("{{ 'x' * 1000000000000 }}")).toThrow(/a text of more than 16,777,216 characters/);
    expect(() => render('{{ 10 ** 10000000 }}')).toThrow(/too large/);
    let nested: unknown = 1;
    for (let i = 0; i < 100_000; i++) nested = [nested];
    expect(() => render('{{ x | tojson }}', { x: nested })).toThrow(/nested too deep/);
  });
});

describe('generation blocks', () => {
  const spans = (template: string, scope: Record<string, unknown> = {}) => {
    const compiled = new JinjaTemplate(template);
    const text = compiled.render(scope, NOW);
    return compiled.generationSpans(scope, NOW).map(({ start, end }) => text.slice(start, end));
  };

  it('are found where they print', () => {
    expect(spans('a{% generation %}b{% endgeneration %}c{%- generation -%} d {%- endgeneration -%} e')).toEqual([
      'b',
      'd',
    ]);
    expect(spans('{% for x in [1, 2] %}{{ x }}{% generation %}\n{{ x }}😀\n{% endgeneration %}{% endfor %}')).toEqual([
      '1😀\n',
      '2😀\n',
    ]);
  });

  it('are found through macros, kept text and filters that leave them whole', () => {
    const macro = '{% macro f(x) %}<{% generation %}{{ x }}{% endgeneration %}>{% endmacro %}';
    expect(spans(`${macro}{{ f(1) }}{{ f('ab') | upper }}`)).toEqual(['1', 'AB']);
    expect(spans('{% set t %}-{% generation %}x{% endgeneration %}-{% endset %}{{ t }}{{ t }}')).toEqual(['x', 'x']);
  });

  it('are refused where a filter cuts into them', () => {
    expect(() => spans('{% filter trim %}{% generation %} x {% endgeneration %}{% endfilter %}')).toThrow(
      /changes the text of its generation blocks/,
    );
  });

  it('are told from text that looks like one', () => {
    expect(new JinjaTemplate('{# {% generation %} #}').marksGeneration).toBe(false);
    expect(new JinjaTemplate('{%- generation -%}{%+ endgeneration %}').marksGeneration).toBe(true);
  });
});
