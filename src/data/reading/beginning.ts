/** The first rows of a large file as a small file of their own, told from its beginning alone. */
import { endOfString } from '../../core/json';

export interface Beginning {
  /** The first rows, whole, in the file's own form. */
  readonly text: string;
  readonly rows: number;
  /** Bytes of the file that they take. */
  readonly bytes: number;
}

/**
 * At most `most` rows from the beginning of a JSONL file or of a JSON array; undefined for any other file, and where
 * not even one row ends within these bytes.
 */
export function readBeginning(head: Uint8Array, most: number): Beginning | undefined {
  let text: string;
  try {
    // A character that is cut in two at the end is left to what comes after.
    text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
  } catch {
    return undefined;
  }
  const opening = /\S/.exec(text)?.[0];
  const found = opening === '[' ? firstElements(text, most) : opening === '{' ? firstLines(text, most) : undefined;
  if (!found || found.rows === 0) return undefined;
  const bytes = new TextEncoder().encode(text.slice(0, found.end)).length;
  const rows = text.slice(0, found.end);
  return { text: opening === '[' ? `${rows}]` : rows, rows: found.rows, bytes };
}

interface Found {
  readonly rows: number;
  /** Offset after the last of them. */
  readonly end: number;
}

/** Whole lines; undefined where the first of them is no JSON by itself. */
function firstLines(text: string, most: number): Found | undefined {
  let rows = 0;
  let end = 0;
  while (rows < most) {
    const newline = text.indexOf('\n', end);
    if (newline < 0) break;
    const line = text.slice(end, newline).trim();
    if (rows === 0 && line !== '' && !isJson(line)) return undefined;
    end = newline + 1;
    if (line !== '') rows++;
  }
  return { rows, end };
}

/** Elements of the array that the text opens. */
function firstElements(text: string, most: number): Found {
  const found = { rows: 0, end: 0 };
  let depth = 0;
  for (let i = 0; i < text.length && found.rows < most; i++) {
    const character = text[i];
    if (character === '"') i = endOfString(text, i);
    else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') {
      depth--;
      if (depth === 0) break;
      if (depth === 1) {
        found.rows++;
        found.end = i + 1;
      }
    }
  }
  return found;
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}
