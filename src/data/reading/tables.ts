/** Tables of text (CSV, TSV) to rows: quoting and line breaks in cells are Papa Parse's, the rules for columns ours. */
import Papa from 'papaparse';
import { GraftError } from '../../core/errors';
import { formatCount, plural, quote } from '../../core/format';

/** Spreadsheets end at 16,384 columns; a dataset has a few. */
const MAX_COLUMNS = 1000;

/** Names of files that are tables, whatever their first line looks like. */
export const TABLE_NAME = /\.(csv|tsv|tab)(\.gz)?$/i;

/** What may stand between two cells, the likelier first where a first line has as many cells by either. */
const DELIMITERS = ['\t', ',', ';', '|'];

/** A row of a table as it was written. */
export interface TableRecord {
  /** 1-based line of the file on which it begins. */
  readonly line: number;
  readonly cells: readonly string[];
}

export interface Table {
  /** Names of the columns, from the first line; empty where it has none for a column. */
  readonly names: readonly string[];
  readonly records: readonly TableRecord[];
}

/**
 * The delimiter of a text that is a table: its first line has two cells or more with something in them, none of them as
 * long as a paragraph, and so has the next line, if there is one. A file whose name says that it is a table may have one
 * column alone. Undefined where it doesn't look like a table.
 */
export function findDelimiter(fileName: string, text: string): string | undefined {
  const [first, second] = parseStart(text);
  // JSON Lines whose first line is something else have commas, too.
  if (first === undefined || second?.trimStart().startsWith('{')) return undefined;
  const cellsOf = (line: string, delimiter: string) => parse(line, delimiter).flatMap(({ cells }) => cells);
  const isTabbed = /\.(tsv|tab)(\.gz)?$/i.test(fileName);
  const isColumn = isShort(first) && DELIMITERS.every((by) => cellsOf(first, by).length === 1);
  if (isColumn && TABLE_NAME.test(fileName)) return isTabbed ? '\t' : ',';
  // Tabs separate the cells of a file that is called so, however many commas its names have.
  const likely = isTabbed && first.includes('\t') ? ['\t'] : DELIMITERS;
  const candidates = likely
    .map((delimiter) => ({ delimiter, cells: cellsOf(first, delimiter) }))
    .filter(({ cells }) => cells.filter(isFilled).length > 1 && cells.every(isShort))
    .filter(
      ({ delimiter }) => second === undefined || second.includes(delimiter) || second.trimStart().startsWith('"'),
    );
  candidates.sort((a, b) => b.cells.length - a.cells.length);
  return candidates[0]?.delimiter;
}

/** A first line's cell: a name, or a question where there are no names. */
function isShort(cell: string): boolean {
  return cell.length <= 200;
}

function isFilled(cell: string): boolean {
  return cell.trim() !== '';
}

/** The first two lines with something in them. */
function parseStart(text: string): string[] {
  const lines: string[] = [];
  for (const [line] of text.matchAll(/[^\r\n]+/g)) {
    if (line.trim() !== '') lines.push(line);
    if (lines.length === 2) break;
  }
  return lines;
}

export interface TableOptions {
  /** Whether the first line names the columns; where it doesn't, the names are `1`, `2`, …. */
  readonly hasNames: boolean;
  /** Whether the text may end within a row. */
  readonly isCut?: boolean;
}

/**
 * A text as a table, blank lines aside.
 * @throws `bad-data` for names that occur twice, too many columns, and a quote that is never closed, with its line
 */
export function readTable(
  fileName: string,
  text: string,
  delimiter: string,
  { hasNames, isCut = false }: TableOptions,
): Table {
  const parsed = parse(text, delimiter, (line) => {
    if (isCut) return;
    throw new GraftError(
      'bad-data',
      `${fileName} has a quote in the row of line ${line} that is never closed, so that all after it is one cell: ` +
        'close it, or double each quote within a quoted cell.',
    );
  });
  const records = delimiter === '|' ? withoutRule(parsed) : parsed;
  const [first] = records;
  const width = hasNames ? first!.cells.length : Math.max(...records.slice(0, 100).map(({ cells }) => cells.length));
  if (width > MAX_COLUMNS) {
    throw new GraftError(
      'bad-data',
      `${fileName} has ${formatCount(width)} columns, and at most ${formatCount(MAX_COLUMNS)} are read.`,
    );
  }
  const names = hasNames
    ? first!.cells.map((name) => (isFilled(name) ? name.trim() : ''))
    : Array.from({ length: width }, (_, i) => String(i + 1));
  const twice = names.find((name, i) => isFilled(name) && names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new GraftError('bad-data', `${fileName} has two columns named ${quote(twice)}: rename one of them.`);
  }
  return { names, records: hasNames ? records.slice(1) : records };
}

/** Markdown draws a line below the names, and space around each cell. */
function withoutRule(records: readonly TableRecord[]): readonly TableRecord[] {
  if (!records[1]?.cells.every((cell) => /^[\s:-]*$/.test(cell))) return records;
  return records
    .filter((_, i) => i !== 1)
    .map(({ line, cells }) => ({ line, cells: cells.map((cell) => cell.trim()) }));
}

/** Why a record is no row of its table, or undefined where it is one; cells that are missing at its end are empty. */
export function describeExcess({ cells }: TableRecord, names: readonly string[]): string | undefined {
  const extra = cells.slice(names.length);
  if (!extra.some(isFilled)) return undefined;
  return `has ${cells.length} cells, and the table ${plural(names.length, 'column')}: put a cell with the separator in it in quotes`;
}

/** The records of a text that aren't blank. `onOpenQuote` gets the line of a record whose quote is never closed. */
function parse(text: string, delimiter: string, onOpenQuote: (line: number) => void = () => undefined): TableRecord[] {
  const records: TableRecord[] = [];
  // A \r before a \n is white space to the parser, where it isn't within quotes.
  const newline = text.includes('\n') ? '\n' : '\r';
  let line = 1;
  let from = 0;
  Papa.parse<string[]>(text, {
    delimiter,
    newline,
    step({ data, errors, meta: { cursor } }) {
      if (errors.some(({ code }) => code === 'MissingQuotes')) onOpenQuote(line);
      const cells = data.map((cell, i) => (i === data.length - 1 ? cell.replace(/\r$/, '') : cell));
      if (cells.some(isFilled)) records.push({ line, cells });
      for (let at = text.indexOf(newline, from); at >= 0 && at < cursor; at = text.indexOf(newline, at + 1)) line++;
      from = cursor;
    },
  });
  return records;
}
