/** Front matter that a Hub takes, and finds a model by. */
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { mendCard, type CardKind } from '../../../src/formats/front-matter';
import { expectError } from '../hub/support';

const headOf = (text: string) => parse(/^---\n([\s\S]*?)---\n/.exec(text)![1]!) as Record<string, unknown>;
const BODY = '\n# Tuned\n\n---\n\nA rule above.\n';
const card = (yaml: string) => `---\n${yaml}\n---\n${BODY}`;

test('a card that says all there is to say stays as it is, to the letter', () => {
  const text = card(
    'base_model: org/tiny # mine\nbase_model_relation: adapter\nlibrary_name: peft\ntags: [a, "b"]\nlicense: mit',
  );
  expect(mendCard(text, 'adapter', 'apache-2.0')).toEqual({ text, changes: [], base: 'org/tiny', hasLicence: true });
});

test.each<[CardKind, string, string]>([
  ['adapter', 'peft', 'adapter'],
  ['model', 'transformers', 'finetune'],
  ['int4', 'transformers', 'quantized'],
  ['gguf', 'gguf', 'quantized'],
])('a card of kind %s gets what it lacks, and keeps the rest in its place', (kind, library, relation) => {
  const mended = mendCard(card('# by hand\nbase_model:\n  - org/tiny\ntags: graft'), kind, 'apache-2.0');
  expect(headOf(mended.text)).toEqual({
    ...{ base_model: ['org/tiny'], tags: ['graft'], library_name: library },
    ...{ base_model_relation: relation, license: 'apache-2.0' },
  });
  expect(mended.text).toContain('# by hand\n');
  expect(mended.text.endsWith(`---\n${BODY}`)).toBe(true);
  expect(mended.changes).toHaveLength(4);
});

test('names that a Hub can have no model or dataset under are left out, and told of', () => {
  const { text, changes, base } = mendCard(
    card(
      'base_model: [/home/anna/model, org/tiny, ./x]\ndatasets: data/rows v2.jsonl\ntags: [graft]\nlibrary_name: peft',
    ),
    'adapter',
  );
  expect(headOf(text)).toEqual({
    ...{ base_model: 'org/tiny', tags: ['graft'], library_name: 'peft', base_model_relation: 'adapter' },
  });
  expect(base).toBe('org/tiny');
  expect(changes.slice(0, 3)).toEqual([
    'base_model has no "/home/anna/model", which is no name on a Hub',
    'base_model has no "./x", which is no name on a Hub',
    'datasets has no "data/rows v2.jsonl", which is no name on a Hub',
  ]);
});

test('without a base model there is no relation to one', () => {
  expect(headOf(mendCard(card('base_model: C:\\models\\mine'), 'model').text)).toEqual({
    ...{ tags: ['graft'], library_name: 'transformers' },
  });
});

test('a text without front matter gets one', () => {
  const { text, changes } = mendCard('# Tuned\n', 'gguf');
  expect(headOf(text)).toEqual({ tags: ['graft'], library_name: 'gguf' });
  expect(text.endsWith('---\n\n# Tuned\n')).toBe(true);
  expect(changes[0]).toBe('it had no front matter');
  expect(headOf(mendCard('---\n---\n# Tuned\n', 'gguf').text)).toEqual({ tags: ['graft'], library_name: 'gguf' });
});

test('what is no YAML, or no mapping, is refused with its line', async () => {
  await expectError(() => mendCard(card('tags: [a\nb: {'), 'model'), 'bad-file', /README.md can't be read \(line \d\)/);
  await expectError(() => mendCard(card('- a\n- b'), 'model'), 'bad-file', /no mapping of keys/);
  await expectError(() => mendCard(card('tags: [a]\ntags: [b]'), 'model'), 'bad-file', /line 3/);
});
