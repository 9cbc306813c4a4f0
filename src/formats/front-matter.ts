/** The front matter of a model card: what a Hub reads of it, put right where it would be refused or says too little. */
import { Document, isMap, parseDocument } from 'yaml';
import { GraftError } from '../core/errors';
import { quote } from '../core/format';

/** What the card stands beside. */
export type CardKind = 'adapter' | 'model' | 'int4' | 'gguf';

/** How a model comes from its base, in the Hub's words. */
export type BaseRelation = 'adapter' | 'finetune' | 'quantized';

const DEFAULTS: Readonly<Record<CardKind, { readonly library: string; readonly relation: BaseRelation }>> = {
  adapter: { library: 'peft', relation: 'adapter' },
  model: { library: 'transformers', relation: 'finetune' },
  int4: { library: 'transformers', relation: 'quantized' },
  gguf: { library: 'gguf', relation: 'quantized' },
};

/** `org/name`, or a name of the Hub's first days without an owner. */
const HUB_ID = /^[A-Za-z0-9_](?:[\w.-]*\w)?(?:\/[A-Za-z0-9_](?:[\w.-]*\w)?)?$/;

const FRONT_MATTER = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)(?:\r?\n)?---[ \t]*(?:\r?\n|$)/;

export interface MendedCard {
  readonly text: string;
  /** What was changed, a clause each. */
  readonly changes: readonly string[];
  /** Its base model on the Hub, the first of several. */
  readonly base: string | undefined;
  readonly hasLicence: boolean;
}

/**
 * A card that a Hub takes, and finds by its base model. What is right stays as it is written, comments and all.
 * @param licence of the base model, where the card says none
 * @throws `bad-file` for front matter that is no YAML
 */
export function mendCard(text: string, kind: CardKind, licence?: string): MendedCard {
  const [whole = '', yaml = ''] = FRONT_MATTER.exec(text) ?? [];
  const head = readHead(yaml);
  const changes: string[] = [];
  if (whole === '') changes.push('it had no front matter');

  const base = mendIds(head, 'base_model', changes);
  mendIds(head, 'datasets', changes);
  mendTags(head, changes);
  const { library, relation } = DEFAULTS[kind];
  const add = (key: string, value: string) => {
    if (typeof head.get(key) === 'string') return;
    head.set(key, value);
    changes.push(`${key} is ${value}`);
  };
  add('library_name', library);
  if (base !== undefined) add('base_model_relation', relation);
  if (licence !== undefined) add('license', licence);
  const hasLicence = typeof head.get('license') === 'string';
  if (changes.length === 0) return { text, changes, base, hasLicence };
  const rest = text.slice(whole.length);
  return {
    text: `---\n${head.toString({ lineWidth: 0 })}---\n${whole === '' ? '\n' : ''}${rest}`,
    changes,
    base,
    hasLicence,
  };
}

function readHead(yaml: string): Document {
  const head = parseDocument(yaml, { uniqueKeys: true });
  const [error] = head.errors;
  if (error) {
    // The line that opens it comes before.
    const line = (error.linePos?.[0].line ?? 1) + 1;
    throw new GraftError(
      'bad-file',
      `The front matter of README.md can't be read (line ${line}): mend it, or take it out.`,
    );
  }
  if (head.contents === null) return new Document({});
  if (isMap(head.contents)) return head;
  throw new GraftError('bad-file', 'The front matter of README.md is no mapping of keys: mend it, or take it out.');
}

/** Leaves out what can't be a name on the Hub, as a path is none, and gives the first that can. */
function mendIds(head: Document, key: string, changes: string[]): string | undefined {
  if (!head.has(key)) return undefined;
  const given = asList(head.toJS() as Record<string, unknown>, key);
  const ids = given.filter((id): id is string => typeof id === 'string' && HUB_ID.test(id));
  for (const id of given) {
    if (!(ids as unknown[]).includes(id)) changes.push(`${key} has no ${quote(id)}, which is no name on a Hub`);
  }
  if (ids.length === 0) head.delete(key);
  else if (ids.length < given.length) head.set(key, ids.length === 1 ? ids[0] : ids);
  return ids[0];
}

function mendTags(head: Document, changes: string[]): void {
  const { tags } = head.toJS() as { tags?: unknown };
  const texts = [tags].flat().filter((tag) => typeof tag === 'string');
  if (Array.isArray(tags) && texts.length === tags.length) return;
  const mended = texts.length > 0 ? texts : ['graft'];
  head.set('tags', mended);
  changes.push(`tags are ${mended.join(', ')}`);
}

function asList(head: Record<string, unknown>, key: string): unknown[] {
  const value = head[key];
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? (value as unknown[]) : [value];
}
