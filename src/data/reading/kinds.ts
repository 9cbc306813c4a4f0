/** What a file is that isn't a dataset, told from its content: by its first bytes, or by how its text begins. */
import { fileKind, isWebPage, KIND_BYTES, latin1, type FileUse } from '../../core/file-kinds';

/** A kind of file, as the rest of a sentence that begins with the file's name, and what to do about it. */
interface Kind {
  readonly what: string;
  readonly advice: string;
}

const CONVERT =
  'Save it as CSV with the names of its columns in the first line, or convert it to JSONL, one row a line such as ' +
  '{"question": "…", "answer": "…"} ' +
  "(pandas: df.to_json('rows.jsonl', orient='records', lines=True)).";
const NO_DATASET =
  'Give a JSON, JSONL or CSV file with one row of text each, or text with Q: and A: before each question and answer.';

const ADVICE: Record<FileUse, string> = {
  table: CONVERT,
  packed: 'Unpack it first, and give the JSON or JSONL file in it.',
  weights: NO_DATASET,
  document: NO_DATASET,
};

/** The kind of a file that isn't text, or undefined where its first bytes name none. */
export function binaryKind(bytes: Uint8Array): Kind | undefined {
  const known = fileKind(bytes);
  if (known) return { what: known.what, advice: ADVICE[known.use] };
  const head = latin1(bytes);
  if (/^(\xff\xfe\0\0|\0\0\xfe\xff)/.test(head)) return { what: 'is text in UTF-32', advice: 'Save it as UTF-8.' };
  if (/^(\s\0)*[[{"]\0[^\0]\0|^(\0\s)*\0[[{"]\0[^\0]/.test(head)) {
    return { what: 'is text in UTF-16 without a byte order mark', advice: 'Save it as UTF-8.' };
  }
  return head.includes('\0') ? { what: 'is a binary file of an unknown kind', advice: NO_DATASET } : undefined;
}

/** The kind of a text in which no JSON was found. */
export function textKind(text: string): Kind {
  const head = text.slice(0, KIND_BYTES).trimStart();
  const lines = head.split(/\r\n|\n|\r/).filter((line) => line.trim() !== '');
  if (isWebPage(head)) {
    return {
      what: 'is a web page (perhaps a page that asks to sign in), not the file itself',
      advice: 'Download the file again.',
    };
  }
  if (head.startsWith('<')) return { what: 'is XML', advice: CONVERT };
  if (head.startsWith('#') || head.startsWith('```')) return { what: 'is Markdown or a script', advice: NO_DATASET };
  if (/^\s*\|.*\|\s*$/.test(lines[0] ?? '')) return { what: 'is a table (Markdown)', advice: CONVERT };
  if (separates('\t', lines)) return { what: 'is a table (TSV)', advice: CONVERT };
  const yaml = /^(---\s*$|%YAML|-\s+["']?[\w ]+["']?\s*:|["']?[\w-]+["']?:(\s|$))/;
  if (yaml.test(lines[0] ?? '')) return { what: 'is YAML', advice: 'Convert it to JSONL, one row a line.' };
  if (separates(',', lines) || separates(';', lines)) return { what: 'is a table (CSV)', advice: CONVERT };
  return {
    what: 'is text, but neither JSON nor a table',
    advice:
      'Give JSONL with one object a line, a CSV table with the names of its columns in the first line, or Q: and A: before each question and answer.',
  };
}

/** Whether the first line looks like the names of a table's columns, and the next has as many. */
function separates(separator: string, [names, row]: readonly string[]): boolean {
  const columns = (names ?? '').split(separator);
  if (columns.length < 2 || !columns.every((name) => /^\s*"?[\w .\-/()]{1,60}"?\s*$/.test(name))) return false;
  return row === undefined || row.split(separator).length >= columns.length || row.includes('"');
}
