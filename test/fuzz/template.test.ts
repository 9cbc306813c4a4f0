/** Broken chat templates, asked to render a conversation with everything in it. */
import { readdirSync, readFileSync } from 'node:fs';
import { chatTemplate } from '../../src/formats/template';
import { fuzz } from './harness';
import { mutateText } from './mutate';

const FOLDER = 'test/golden/jinja_templates';
const TEMPLATES = readdirSync(FOLDER).map((name) => readFileSync(`${FOLDER}/${name}`, 'utf8'));
const golden = JSON.parse(readFileSync('test/golden/jinja_cases.json', 'utf8')) as {
  conversations: Record<string, { messages: [] }>;
  snippets: { template: string }[];
};
const CONVERSATIONS = Object.values(golden.conversations);
const SNIPPETS = golden.snippets.map(({ template }) => template);
const WORDS = [
  ...[
    '{%',
    '%}',
    '{{',
    '}}',
    '{#',
    '#}',
    '{%-',
    '-%}',
    "'",
    '"',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '|',
    '.',
    ',',
    '~',
    '**',
    '//',
    '%',
    '<',
    'not ',
    'in ',
    'is ',
  ],
  ...[
    '{% for i in range(100000000) %}x{% endfor %}',
    '{% for i in range(3000) %}{% for j in range(3000) %}x{% endfor %}{% endfor %}',
  ],
  ...[
    '{{ "x" * 100000000 }}',
    '{{ ("x" * 100000) | join("y" * 10000) }}',
    '{{ range(1000000000) | list }}',
    '{{ 9 ** 9 ** 9 }}',
  ],
  ...[
    '{{ "a" | center(1000000000) }}',
    '{{ "%1000000000d" % 1 }}',
    '{{ "{:1000000000}".format(1) }}',
    '{{ messages | tojson(indent=100000000) }}',
  ],
  ...[
    '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
    '{% set ns = namespace(s="x") %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}',
  ],
  ...[
    '{{ "a" | indent(100000000) }}',
    '{{ 1 | round(1000000000) }}',
    '{{ "9" * 100000 | int }}',
    '{{ lipsum() }}',
    '{{ cycler(1) }}',
    '{{ joiner() }}',
  ],
  ...[
    'messages',
    'loop',
    'namespace()',
    'raise_exception("x\\ny")',
    'strftime_now("%Y")',
    '| tojson',
    '| sort',
    '| batch(100000000)',
    '| slice(1000000000)',
  ],
  ...[
    '| groupby("x")',
    '| map(attribute="__class__")',
    '.__class__.__mro__',
    "['__proto__']",
    '.constructor',
    '| wordwrap(0)',
    '| truncate(-1)',
    '| replace("", "x")',
  ],
  ...[
    '1e999',
    '9999999999999999999999',
    '-1',
    '0.1',
    'none',
    'true',
    'loop(messages)',
    ' recursive',
    '| list',
    '| length',
    '| xmlattr',
    '| urlize',
    '| filesizeformat',
  ],
];

fuzz('template', {
  make: (random) => {
    const base = random.chance(0.6)
      ? random.pick(TEMPLATES)
      : Array.from({ length: 4 }, () => random.pick(SNIPPETS)).join('');
    return { text: mutateText(base, random, WORDS), conversation: random.below(CONVERSATIONS.length) };
  },
  read: ({ text, conversation }) => {
    const template = chatTemplate('chat_template.jinja', text, { bos_token: '<s>', eos_token: '</s>' });
    return template.render(CONVERSATIONS[conversation]!, { addGenerationPrompt: true });
  },
  bytes: ({ text }) => text,
  readable: 0.03,
});
