/**
 * Dataset files to rows: JSON, JSON Lines, JSON objects one after another, tables (CSV, TSV), or questions and answers as
 * text, told from the content and not from the name.
 */
import { GraftError } from '../core/errors';
import { formatCount, quote } from '../core/format';
import type { SkippedRow } from '../core/events';
import { isLfsPointer } from '../core/file-kinds';
import { betweenStrings, jsonFault, parseDeepJson } from '../core/json';
import { linesOf } from '../core/lines';
import { setOwn, type RowValue } from './examples/fields';
import { hasRowField } from './examples/formats';
import { listNames, listRows } from './left-out';
import { readPieces, TEXT_LIMITS, type TextLimits } from './reading/bytes';
import { textKind } from './reading/kinds';
import { checkColumns, goesByPlaces, mapRow, type ColumnMapping } from './reading/mapping';
import { readQuestions } from './reading/questions';
import { describeExcess, findDelimiter, readTable, TABLE_NAME, type Table } from './reading/tables';
import { splitValues } from './reading/values';

/**
 * Characters of one row, those of all its texts together. A million tokens, as many as models take, are some five million;
 * reading one more takes some hundred bytes where it is a token of its own.
 */
const MAX_ROW_CHARACTERS = 8_388_608;

/** One row, still untrusted: read its own fields only. */
export interface DatasetRow {
  /** Where a person finds it: `data.jsonl, line 3` or `data.json, row 3`. */
  readonly where: string;
  /** Which of the file's rows it is, counted from 1: a table's first is the one below the names of its columns. */
  readonly row: number;
  /** The line on which it begins in JSONL, a table or text, where that is another number. */
  readonly line?: number;
  readonly value: Readonly<Record<string, unknown>>;
}

export interface FileRows {
  readonly rows: readonly DatasetRow[];
  /** Rows that are no JSON, or no objects. */
  readonly unreadable: readonly SkippedRow[];
  /** What was read of the file and what wasn't, a sentence each. */
  readonly notices: readonly string[];
  /** Numbers of the file that JavaScript keeps otherwise than they are written, with how that is: 20 as `20.0`. */
  readonly changedNumbers: ReadonlyMap<number, string>;
}

export interface ReadOptions {
  /** Which column is which field, where the user says so. */
  readonly mapping?: ColumnMapping | undefined;
  readonly limits?: TextLimits;
}

/**
 * Reads UTF-8 (or UTF-16 with a byte order mark), as it is or compressed with gzip: a JSON array, JSONL, objects one
 * after another, one object, which may hold the list of rows, a table whose first line names its columns, or `Q:` and
 * `A:` lines.
 * @throws `bad-data` where the file as a whole can't be read: with what it is, or with line, column and what is wrong;
 * `bad-config` for a mapping that makes no sense
 */
export async function readRows(
  fileName: string,
  content: Uint8Array | string,
  { mapping, limits = TEXT_LIMITS }: ReadOptions = {},
): Promise<FileRows> {
  const { pieces, isLarge } =
    typeof content === 'string'
      ? { pieces: [content.replace(/^\uFEFF/, '')], isLarge: false }
      : await readPieces(fileName, content, limits);
  const collected = new RowCollector(fileName, mapping);
  let line: number | undefined;
  const changedNumbers = new Map<number, string>();
  for (const text of pieces) {
    collected.mayBeLong = text.length > MAX_ROW_CHARACTERS;
    if (TEMPLATE_VALUES.test(text)) findChangedNumbers(text, changedNumbers);
    line ??= isJsonLines(collected, text, isLarge) ? 1 : undefined;
    if (line === undefined) break;
    line += readLines(collected, text, line);
  }
  return { ...collected.finish(), changedNumbers };
}

/** Fields whose values a chat template may print. */
const TEMPLATE_VALUES = /"(?:tools|tool_calls|functions?|documents|chat_template_kwargs)"/;

/** Different columns that are noted of a file, to say what it has. */
const NOTED_COLUMNS = 10_000;

/** Different numbers that are noted of a file. */
const NOTED_NUMBERS = 10_000;

/**
 * Notes numbers that Python would keep otherwise: whole ones that are written with a point or an exponent, and those of
 * too many digits.
 */
function findChangedNumbers(json: string, found: Map<number, string>): void {
  for (const part of betweenStrings(json)) {
    for (const [token] of part.matchAll(/-?\d[\d.eE+-]*/g)) {
      const value = Number(token);
      if (!Number.isInteger(value)) continue;
      if (!/[.eE]/.test(token) && token !== '-0' && Number.isSafeInteger(value)) continue;
      if (!found.has(value)) found.set(value, token);
      if (found.size >= NOTED_NUMBERS) return;
    }
  }
}

/** Whether a file is JSONL by its first piece, or has to be. Any other is read here. */
function isJsonLines(collected: RowCollector, text: string, isLarge: boolean): boolean {
  const { fileName } = collected;
  if (isLfsPointer(text)) {
    throw new GraftError(
      'bad-data',
      `${fileName} is a Git LFS pointer, not the file itself: get the file with "git lfs pull", or download it again.`,
    );
  }
  const opening = /\S/.exec(text)?.[0];
  if (opening === undefined) throw new GraftError('bad-data', `${fileName} is empty: it has no rows.`);
  if (isLarge && opening !== '{') {
    throw new GraftError(
      'bad-data',
      `${fileName} is too large to be read as one JSON value: convert it to JSONL, one row a line.`,
    );
  }
  if (isLarge) return true;
  const firstLine = linesOf(text.trimStart()).next().value?.trimEnd() ?? '';
  if (opening === '[') {
    const values = parseDeepJson(text);
    if (Array.isArray(values)) {
      values.forEach((value) => collected.add(value));
      return false;
    }
    if (parseDeepJson(firstLine) === undefined) throw notJson(fileName, text);
    return true;
  }
  const first = parseDeepJson(firstLine);
  // The name of a table's only column, in quotes, is JSON as well.
  const isName = typeof first === 'string' && TABLE_NAME.test(collected.fileName);
  if (first !== undefined && !isName) {
    if (opening === '{' && firstLine.length === text.trim().length) return !collected.addOnly(first, true);
    return true;
  }
  const values = opening === '{' ? splitValues(text)?.map(parseDeepJson) : undefined;
  if (values?.every((value) => value !== undefined)) {
    if (values.length === 1) collected.addOnly(values[0], false);
    else values.forEach((value) => collected.add(value));
    return false;
  }
  if (opening !== '{' && (readAsTable(collected, text) || readAsQuestions(collected, text))) return false;
  if (hasRowLine(text)) return true;
  if (opening === '{') throw notJson(fileName, text);
  const { what, advice } = textKind(text);
  throw new GraftError('bad-data', `${fileName} ${what}. ${advice}`);
}

/** Reads a table whose columns are known; returns whether the text is one. @throws `bad-data` for one whose columns aren't */
function readAsTable(collected: RowCollector, text: string): boolean {
  const { fileName, mapping } = collected;
  const delimiter = findDelimiter(fileName, text);
  if (delimiter === undefined) return false;
  const hasNames = !collected.goesByPlaces;
  const table = readTable(fileName, text, delimiter, { hasNames });
  const isKnown = hasRowField(Object.fromEntries(table.names.map((name) => [name, ''])));
  if (!isKnown && !mapping) {
    const isTable = TABLE_NAME.test(fileName) ? !readQuestions(text) : isEven(table);
    if (isTable) throw unknownColumns(fileName, table.names);
    return false;
  }
  for (const record of table.records) {
    const excess = describeExcess(record, table.names);
    if (excess !== undefined) collected.refuse(excess, record.line);
    else collected.add(rowOf(record.cells, table.names), record.line);
  }
  return true;
}

function rowOf(cells: readonly string[], names: readonly string[]): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  names.forEach((name, i) => {
    const cell = cells[i] ?? '';
    if (name !== '') setOwn(row, name, cell);
    else if (cell.trim() !== '') setOwn(row, `column ${i + 1}`, cell);
  });
  return row;
}

/** Whether every row of a table has as many cells as the first: prose with commas has not. */
function isEven({ names, records }: Table): boolean {
  return records.length > 0 && records.every(({ cells }) => cells.length === names.length);
}

function unknownColumns(fileName: string, names: readonly string[]): GraftError {
  const named = names.filter((name) => name !== '');
  const [first, second] = named.map((name) => JSON.stringify(name));
  const advice =
    second === undefined
      ? 'and no format of a dataset has it alone: write text in its place, or in a line above it where it is a row ' +
        `itself, or say that it is that (dataset_mapping: {text: ${first!}}).`
      : 'and no format of a dataset has these: write names such as question and answer in their place, or in a line ' +
        `above them where they are a row themselves, or say which is which (dataset_mapping: {question: ${first!}, answer: ${second}}).`;
  const columns = second === undefined ? `the one column ${listNames(named)}` : `the columns ${listNames(named)}`;
  return new GraftError('bad-data', `${fileName} is a table with ${columns}, ${advice}`);
}

/** Reads questions and answers that are written as text; returns whether the text has any. */
function readAsQuestions(collected: RowCollector, text: string): boolean {
  const written = readQuestions(text);
  if (!written) return false;
  for (const { line, ...row } of written.rows) collected.add(row, line);
  if (written.left.length > 0) {
    const lines = listRows(written.left).replace('row', 'line');
    collected.note(`Of ${collected.fileName}, ${lines} belong to no question and no answer, and are left out.`);
  }
  return true;
}

/** Reads one row a line; returns how many lines there are. */
function readLines(collected: RowCollector, text: string, firstLine: number): number {
  let at = firstLine;
  for (const line of linesOf(text)) {
    const value = parseDeepJson(line);
    if (value !== undefined) collected.add(value, at);
    else if (line.trim() !== '') {
      const { column, what } = jsonFault(line);
      collected.refuse(`is not valid JSON at line ${at}, column ${column}: ${what}`, at);
    }
    at++;
  }
  return at - firstLine;
}

/** What the rows of one file make up. */
class RowCollector {
  private readonly rows: DatasetRow[] = [];
  private readonly unreadable: SkippedRow[] = [];
  private readonly notices: string[] = [];

  /** Whether rows that are read now may have too many characters. */
  mayBeLong = false;

  /** Whether the columns that are mapped are given by their places. */
  readonly goesByPlaces: boolean;
  private readonly columns = new Set<string>();

  constructor(
    readonly fileName: string,
    readonly mapping: ColumnMapping | undefined,
  ) {
    this.goesByPlaces = mapping !== undefined && goesByPlaces(mapping);
  }

  /** The next row of the file; `line` is where it begins, where lines are what a person finds it by. */
  add(value: unknown, line?: number): void {
    const characters = this.mayBeLong ? countCharacters(value) : 0;
    if (characters > MAX_ROW_CHARACTERS) {
      this.refuse(
        `has ${formatCount(characters)} characters, and a row may have ${formatCount(MAX_ROW_CHARACTERS)} at most: split it`,
        line,
      );
    } else if (isObject(value)) {
      const place = this.placeOfNext(line);
      const where = `${this.fileName}, ${line === undefined ? `row ${place.row}` : `line ${line}`}`;
      this.rows.push({ where, ...place, value: this.map(value) });
    } else this.refuse(`is ${quote(value)}, but a row must be an object with named fields`, line);
  }

  private placeOfNext(line: number | undefined): { row: number; line?: number } {
    const row = this.rows.length + this.unreadable.length + 1;
    return { row, ...(line !== undefined && line !== row && { line }) };
  }

  private map(row: RowValue): RowValue {
    if (!this.mapping) return row;
    for (const column of Object.keys(row)) if (this.columns.size < NOTED_COLUMNS) this.columns.add(column);
    return mapRow(row, this.mapping);
  }

  note(sentence: string): void {
    this.notices.push(sentence);
  }

  /** The next row of the file can't be used. */
  refuse(reason: string, line?: number): void {
    this.unreadable.push({ ...this.placeOfNext(line), reason });
  }

  /** The one value of a file: a row, or an object that holds the list of rows. Returns whether it has been read. */
  addOnly(value: unknown, isLine: boolean): boolean {
    const lists = isObject(value) && !hasRowField(value) ? Object.entries(value).filter(isRowList) : [];
    const [list] = lists;
    if (lists.length > 1) {
      const names = listNames(lists.map(([name]) => name));
      throw new GraftError(
        'bad-data',
        `${this.fileName} is one object with several lists (${names}): give a file with one list, or one row a line.`,
      );
    }
    if (!list) {
      if (!isLine) this.add(value);
      return !isLine;
    }
    const [key, rows] = list;
    const others = Object.keys(value as object).filter((name) => name !== key);
    const rest =
      others.length === 0 ? '' : `; ${listNames(others)} beside it ${others.length > 1 ? 'are' : 'is'} left out`;
    this.notices.push(`The rows of ${this.fileName} are read from its list ${listNames([key])}${rest}.`);
    rows.forEach((row) => this.add(row));
    return true;
  }

  finish(): Omit<FileRows, 'changedNumbers'> {
    if (this.rows.length + this.unreadable.length === 0) {
      throw new GraftError('bad-data', `${this.fileName} has no rows.`);
    }
    if (this.mapping) checkColumns(this.fileName, this.mapping, this.columns);
    return { rows: this.rows, unreadable: this.unreadable, notices: this.notices };
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Characters of all texts in a value, names of fields included, and one for each other value. */
function countCharacters(value: unknown): number {
  let count = 0;
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next === 'string') count += next.length;
    else if (Array.isArray(next)) for (const item of next) open.push(item);
    else if (typeof next === 'object' && next !== null) {
      for (const [name, item] of Object.entries(next)) {
        count += name.length;
        open.push(item);
      }
    } else count++;
  }
  return count;
}

function isRowList(entry: [string, unknown]): entry is [string, unknown[]] {
  return Array.isArray(entry[1]) && entry[1].length > 0 && entry[1].every((item) => typeof item === 'object');
}

/** Whether any line is a JSON object by itself. */
function hasRowLine(text: string): boolean {
  for (const line of linesOf(text)) if (line.trimStart().startsWith('{') && isObject(parseDeepJson(line))) return true;
  return false;
}

function notJson(fileName: string, text: string): GraftError {
  const { line, column, what } = jsonFault(text, text.trimStart().startsWith('{'));
  return new GraftError('bad-data', `${fileName} is not valid JSON at line ${line}, column ${column}: ${what}.`);
}
