/** Dataset files to rows: a JSON array, or JSON Lines. Which of the two is read from the content, not from the name. */
import { GraftError } from '../core/errors';
import { quote } from '../core/format';
import { decodeUtf8 } from '../core/store';
import { jsonErrorOffset } from '../core/json-error';

/** One row, still untrusted: read its own fields only. */
export interface DatasetRow {
  /** Where a person finds it: `data.jsonl, line 3` or `data.json, row 3`. */
  readonly where: string;
  /** 1-based: the line of a JSONL file, the position in a JSON array. */
  readonly row: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Formats that people bring and that are not read (yet), by extension. */
const OTHER_FORMATS = /\.(csv|tsv|parquet|arrow|xlsx?|txt|md|pdf|gz|zip)$/i;

/** @throws `bad-data` with the 1-based line of the first mistake. */
export function readRows(fileName: string, content: Uint8Array | string): DatasetRow[] {
  const text = typeof content === 'string' ? content : decode(fileName, content);
  const isArray = text.trimStart().startsWith('[');
  if (!isArray && OTHER_FORMATS.test(fileName)) {
    throw new GraftError(
      'bad-data',
      `${fileName} is not JSON: convert it to a JSON array or to JSONL, one row a line.`,
    );
  }
  const rows = isArray ? readArray(fileName, text) : readLines(fileName, text);
  if (rows.length === 0) throw new GraftError('bad-data', `${fileName} has no rows.`);
  return rows;
}

function readArray(fileName: string, text: string): DatasetRow[] {
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch {
    const offset = jsonErrorOffset(text);
    const line = text.slice(0, offset).split('\n').length;
    const found =
      offset >= text.trimEnd().length
        ? 'the file ends too early'
        : `unexpected ${quote(text.slice(offset, offset + 20))}`;
    throw new GraftError('bad-data', `${fileName}, line ${line}: not valid JSON, ${found}.`);
  }
  return (values as unknown[]).map((value, i) => checkRow(`${fileName}, row ${i + 1}`, i + 1, value));
}

function readLines(fileName: string, text: string): DatasetRow[] {
  const rows: DatasetRow[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const where = `${fileName}, line ${i + 1}`;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new GraftError('bad-data', `${where}: not valid JSON: ${quote(line.trim())}. JSONL has one object a line.`);
    }
    rows.push(checkRow(where, i + 1, value));
  });
  return rows;
}

function checkRow(where: string, row: number, value: unknown): DatasetRow {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GraftError('bad-data', `${where}: a row must be an object with named fields, but is ${quote(value)}.`);
  }
  return { where, row, value: value as Readonly<Record<string, unknown>> };
}

function decode(fileName: string, bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    throw new GraftError('bad-data', `${fileName} is not UTF-8 text: save it as UTF-8.`);
  }
}
