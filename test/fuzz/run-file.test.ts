/** Broken run files and command lines. */
import { formatRunConfig, parseRunConfig, RUN_CONFIG_KEYS } from '../../src/core/config';
import { fuzz } from './harness';
import { JSON_VALUES, mutateText } from './mutate';

const GOOD = formatRunConfig(
  parseRunConfig('dataset: data.jsonl\nchat_template_kwargs: {enable_thinking: false, x: [1, 2]}\n'),
);
const KEYS = Object.keys(RUN_CONFIG_KEYS);
const WORDS = [
  ...JSON_VALUES,
  ...[
    '? ',
    '- ',
    ': ',
    '\n',
    '\t',
    '#',
    '&a ',
    '*a',
    '!!',
    '!tag ',
    '|',
    '>',
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '[',
    '{',
    ']',
    '}',
  ],
  ...[
    '<<: ',
    '<<: {}',
    '0x1F',
    '0o17',
    '.inf',
    '-.inf',
    '.nan',
    '~',
    '1_000',
    '1e999',
    '2026-02-30',
    '\u2028',
    '\0',
    '"',
    "'",
  ],
  ...['__proto__: {polluted: 1}\n', 'constructor: 1\n', 'learning_rat: 1\n', 'sede: null\n', 'seed: 1\nseed: 2\n'],
  ...['*.jsonl', '@x', '`x`', 'q_proj,v_proj', 'q_proj,,', '!!binary aGk=', '!!set {a}', '!!js/function x'],
];

fuzz('run file', {
  make: (random) => mutateText(GOOD, random, WORDS),
  read: (text) => formatRunConfig(parseRunConfig(text)),
  bytes: (text) => text,
  readable: 0.1,
});

fuzz('overrides', {
  make: (random) =>
    Object.fromEntries(
      Array.from({ length: random.length(4) }, () => {
        const key = random.chance(0.95) ? random.pick(KEYS) : mutateText(random.pick(KEYS), random, ['-', '__proto__']);
        const word = random.pick(WORDS);
        const value = random.chance(0.6) ? word : mutateText(word, random, WORDS);
        return [random.chance(0.5) ? key.replaceAll('_', '-') : key, value];
      }),
    ),
  read: (overrides) => formatRunConfig(parseRunConfig('', overrides)),
  readable: 0.05,
});
