/** The content of a message: text, or a list of parts, as chat APIs write it. */
import { quote } from '../../core/format';
import { isObject, unusable, withArticle, type LeftOut } from './fields';

export interface Content {
  readonly text: string;
  /** What the parts for reasoning hold; undefined where there are none. */
  readonly reasoning: string | undefined;
}

const TEXT_PARTS = new Set<unknown>(['text', 'input_text', 'output_text', undefined]);
const REASONING_PARTS = new Set<unknown>(['thinking', 'reasoning']);

/** Joins the text of parts; the parts of other kinds are refused by name. `place` is the message's number, from 1. */
export function joinParts(parts: readonly unknown[], place: number, leftOut: LeftOut): Content {
  const texts: string[] = [];
  const reasoning: string[] = [];
  for (const part of parts) {
    if (typeof part === 'string') {
      texts.push(part);
      continue;
    }
    const [type, fields] = isObject(part) ? readPart(part) : [undefined, undefined];
    if (!fields) throw unusable(`has ${quote(part)} as a part of message ${place}, which must have a type and text`);
    const isReasoning = REASONING_PARTS.has(type);
    if (!isReasoning && !TEXT_PARTS.has(type)) {
      const name = typeof type === 'string' ? type : quote(type);
      throw unusable(`has ${withArticle(name)} part in message ${place}, but only text is trained`);
    }
    const names = isReasoning ? ['thinking', 'reasoning', 'text', 'content'] : ['text', 'content'];
    const name = names.find((known) => fields.has(known));
    const text = name === undefined ? undefined : fields.get(name);
    if (typeof text !== 'string') throw unusable(`has a part of message ${place} without text: ${quote(part)}`);
    (isReasoning ? reasoning : texts).push(text);
    for (const other of fields.keys()) {
      if (other !== name) leftOut.addPartField(other);
    }
  }
  return { text: texts.join(''), reasoning: reasoning.length > 0 ? reasoning.join('') : undefined };
}

/** The type of a part, and its other fields that aren't null. */
function readPart(part: Readonly<Record<string, unknown>>): [unknown, Map<string, unknown>] {
  const fields = new Map(Object.entries(part).filter(([, value]) => value !== null));
  const type = fields.get('type');
  fields.delete('type');
  // Parts of an image are often told by their field alone.
  return [type ?? [...fields.keys()].find((name) => /^(image|audio|video)/.test(name)), fields];
}
