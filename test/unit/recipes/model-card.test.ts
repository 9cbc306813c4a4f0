/** Where a card says that others find the base model. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { modelCard } from '../../../src/formats/model-card';
import { baseModelOf } from '../../../src/recipes/steps/base-model';

const COMMIT = 'c0ffee'.repeat(7).slice(0, 40);
const lora = { r: 2, alpha: 4, dropout: 0, targetModules: ['q_proj'], useRslora: false, useDora: false };

function card(name: string, revision = 'main', files?: string, adapter = true) {
  const base = baseModelOf({ model_name_or_path: name, revision }, files === undefined ? undefined : { name: files });
  const text = modelCard(base, adapter ? { lora } : {}, { base });
  const [, frontMatter, body] = /^---\n([\s\S]*?)---\n([\s\S]*)$/.exec(text)!;
  const code = /```python\n([\s\S]*?)```/.exec(body!)![1]!;
  return { head: parse(frontMatter!) as Record<string, unknown>, body: body!, code };
}

describe('the card of an adapter', () => {
  it('loads a base model of the Hub by its id and commit', () => {
    const { head, code } = card('org/tiny', COMMIT, 'org/tiny');
    expect(head).toMatchObject({ base_model: 'org/tiny', library_name: 'peft' });
    expect(head['tags']).toContain('base_model:adapter:org/tiny');
    expect(code).toContain(`from_pretrained("org/tiny", revision="${COMMIT}")`);
    const gguf = card('org/tiny-gguf', COMMIT, 'org/tiny-gguf/tiny.Q4_0.gguf');
    expect(gguf.code).toContain(`from_pretrained("org/tiny-gguf", revision="${COMMIT}", gguf_file="tiny.Q4_0.gguf")`);
  });

  it('names the model of the Hub whose folder in the cache it was', () => {
    const { head, code } = card(`/home/me/.cache/huggingface/hub/models--org--tiny--v2/snapshots/${COMMIT}`);
    expect(head['base_model']).toBe('org/tiny--v2');
    expect(code).toContain(`from_pretrained("org/tiny--v2", revision="${COMMIT}")`);
  });

  it.each([
    ['starter', /starter, is not on the Hub: it comes with Graft, in the folder `public\/models\/starter`/],
    ['./models/mine', /opened from files on a computer, under the name \.\/models\/mine/],
    ['models/mine', /under the name models\/mine, so that its place on the Hub/],
    ['mine.Q8_0.gguf', /under the name mine\.Q8_0\.gguf/],
  ])('says in words where %s is to be had, and names nothing that only Graft finds', (name, words) => {
    const { head, body, code } = card(name);
    expect(head).not.toHaveProperty('base_model');
    expect(JSON.stringify(head)).not.toContain(name);
    expect(body).toMatch(words);
    expect(code).toContain('from_pretrained("path/to/the/base/model"');
    expect(code).not.toContain(`from_pretrained("${name}`);
  });
});

it('a GGUF file of a computer is named as Transformers asks for it', () => {
  const gguf = 'from_pretrained("path/to/the/base/model", gguf_file="mine.Q8_0.gguf")';
  expect(card('models/mine.Q8_0.gguf').code).toContain(gguf); // on the command line, by its path
  expect(card('mine', 'main', 'mine/mine.Q8_0.gguf').code).toContain(gguf); // on the page
});

describe('the card of a model', () => {
  it('is the same card, and loads its own folder', () => {
    const { head, body, code } = card('starter', 'main', undefined, false);
    expect(head).toEqual({ library_name: 'transformers', pipeline_tag: 'text-generation', tags: ['graft'] });
    expect(body).toContain('# starter, fine-tuned');
    expect(body).toContain('Every parameter was trained, with Graft.');
    expect(code).toContain('from_pretrained("path/to/this/folder")');
  });
});
