/** The columns of a file, told from its beginning: for whoever says which of them is which field. */
import { shorten } from '../core/format';
import { parseDeepJson } from '../core/json';
import { linesOf } from '../core/lines';
import { encodeUtf8 } from '../core/store';
import { isRowField } from './examples/formats';
import { isObject } from './examples/fields';
import { wideEncoding } from './reading/bytes';
import { binaryKind } from './reading/kinds';
import { readBeginning } from './reading/beginning';
import { findDelimiter, readTable } from './reading/tables';

/** Rows from which columns and what is in them are told. */
const LOOKED_AT = 20;

/** Characters of a cell that are shown. */
const SHOWN = 80;

export interface FileColumns {
  /** In the file's order. */
  readonly columns: readonly FileColumn[];
  /** Whether a first line names them: of a table, it could be a row as well. */
  readonly isTable: boolean;
}

export interface FileColumn {
  readonly name: string;
  /** The field that it is by its name, if any. */
  readonly field: string | undefined;
  /** What the first row that has something there has, shortened. */
  readonly sample: string;
}

/** The columns of a table, or the fields of the first rows in JSON; undefined for a file that is neither. */
export function findColumns(fileName: string, head: Uint8Array): FileColumns | undefined {
  const wide = wideEncoding(head);
  if (!wide && binaryKind(head)) return undefined;
  const text = new TextDecoder(wide ?? 'utf-8').decode(head, { stream: true });
  if (/^\s*[[{]/.test(text)) return columnsOfRows(encodeUtf8(text));
  // What may be cut in two is left out.
  const whole = text.slice(0, Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1) || text;
  const delimiter = findDelimiter(fileName, whole);
  if (delimiter === undefined) return undefined;
  const { names, records } = readTable(fileName, whole, delimiter, { hasNames: true, isCut: true });
  const columns = names.flatMap((name, i) => {
    const cells = records.slice(0, LOOKED_AT).map(({ cells }) => cells[i] ?? '');
    return name === '' ? [] : [describeColumn(name, cells)];
  });
  return { columns, isTable: true };
}

function columnsOfRows(head: Uint8Array): FileColumns | undefined {
  const beginning = readBeginning(head, LOOKED_AT);
  const text = beginning?.text ?? new TextDecoder().decode(head);
  const whole = parseDeepJson(text);
  const values: unknown[] = Array.isArray(whole)
    ? whole
    : isObject(whole)
      ? [whole]
      : [...linesOf(text)].map(parseDeepJson);
  const rows = values.filter(isObject).slice(0, LOOKED_AT);
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  if (names.length === 0) return undefined;
  const columns = names.map((name) => {
    const cells = rows.filter((row) => Object.hasOwn(row, name)).map((row) => row[name]);
    return describeColumn(name, cells);
  });
  return { columns, isTable: false };
}

function describeColumn(name: string, cells: readonly unknown[]): FileColumn {
  const filled = cells.find((cell) => cell !== null && cell !== undefined && cell !== '') ?? '';
  const text = typeof filled === 'string' ? filled : JSON.stringify(filled);
  const plain = name.trim().toLowerCase();
  return {
    name,
    field: isRowField(plain) ? plain : undefined,
    sample: shorten(text, SHOWN),
  };
}
