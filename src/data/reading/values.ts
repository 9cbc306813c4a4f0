/** JSON values one after another, as pretty-printing tools write them: where each begins and ends. */
import { endOfString } from '../../core/json';

const QUOTE = 0x22;
const OPENING = new Set([0x7b, 0x5b]);
const CLOSING = new Set([0x7d, 0x5d]);

/** The texts of objects that follow each other, or undefined where one isn't closed or something else stands between. */
export function splitValues(text: string): string[] | undefined {
  const values: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      if (depth === 0) return undefined;
      i = endOfString(text, i);
    } else if (OPENING.has(code)) {
      if (depth++ > 0) continue;
      if (text.slice(start, i).trim() !== '') return undefined;
      start = i;
    } else if (CLOSING.has(code)) {
      if (--depth > 0) continue;
      if (depth < 0) return undefined;
      values.push(text.slice(start, i + 1));
      start = i + 1;
    }
  }
  return depth === 0 && text.slice(start).trim() === '' ? values : undefined;
}
